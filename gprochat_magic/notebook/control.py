"""The subcommands about how prompts are sent: aliases, settings, instructions, stop."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from traitlets import TraitError

from gprochat_magic import config
from gprochat_magic.notebook import backends
from gprochat_magic.notebook.grammar import Row, Shape

if TYPE_CHECKING:
    from gprochat_magic.notebook.magics import GPROChatMagics


def _alias(magics: GPROChatMagics, argument: str) -> str:
    name, equals, model = (part.strip() for part in argument.partition("="))
    if not equals:
        return _aliases(magics) if magics.aliases else "No aliases: %gprochat alias NAME=MODEL"
    others = {key: value for key, value in magics.aliases.items() if key != name}
    if not model:
        if name not in magics.aliases:
            raise UsageError(f"there is no alias {name!r}; %gprochat alias lists them")
        magics.aliases = others
        return f"{name} is no alias any more."
    # An alias of an alias means that one's model now, so that no circle can come about.
    magics.aliases = {**others, name: others.get(model, model)}
    return f"{name} means {magics.aliases[name]} now: -m {name}"


def _aliases(magics: GPROChatMagics) -> str:
    return "\n".join(f"{name} = {model}" for name, model in sorted(magics.aliases.items()))


def _set(magics: GPROChatMagics, argument: str) -> str:
    key, _, raw = (part.strip() for part in argument.partition(" "))
    settings = type(magics).class_own_settings()
    if not key:
        return "\n".join(f"{name:<20}{getattr(magics, name)!r}" for name in sorted(settings))
    if key == "secret_key":
        typed = "; this cell and the history hold what you typed, so choose another" if raw else ""
        raise UsageError(f"a key is not set here: %gprochat key asks for it unseen{typed}")
    if key not in settings:
        near = difflib.get_close_matches(key, settings, 1)
        ask = f"did you mean {near[0]}?" if near else "%gprochat set lists them"
        raise UsageError(f"there is no setting {key!r}; {ask}")
    if not raw:
        return f"{key}: {getattr(magics, key)!r}\n  {settings[key].help}"
    if key == "backend":
        return backends.chosen(magics, _unquoted(raw))
    try:
        setattr(magics, key, _fitting(magics, settings[key], _unquoted(raw)))
    except TraitError as error:
        raise UsageError(str(error)) from None
    return f"{key}: {getattr(magics, key)!r}{_remark(magics, key)}"


def _fitting(magics: GPROChatMagics, trait: Any, text: str) -> Any:
    """The value that a text means for a setting. Raises `TraitError` in one line."""
    if trait.allow_none and text.lower() == "none":
        return None
    try:
        return trait.validate(magics, trait.from_string(text))
    except (ValueError, TraitError):
        # An address may hold a password, so it shows without.
        shown = repr(config.Url(text))
        raise TraitError(f"{trait.name}: {shown} does not fit; {trait.info()} is needed") from None


def _remark(magics: GPROChatMagics, key: str) -> str:
    from gprochat_magic.draft import unsent

    ignored = key in unsent(magics)
    return (
        " (not sent: the flat wire carries one text; %gprochat set wire turns)" if ignored else ""
    )


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] in "\"'" and text[0] == text[-1] else text


def _system(magics: GPROChatMagics, text: str) -> str:
    if text:
        magics.system = "" if text == "-" else _unquoted(text)
    if not magics.system:
        return "No instructions go before your prompts."
    return f"Before every prompt goes: {magics.system}"


def _stop(magics: GPROChatMagics, argument: str) -> str:
    stopped = magics.jobs.stop()
    if not stopped:
        return "No reply streams in the background."
    return "\n".join(f"Stopped: {job.said()}" for job in stopped)


@dataclass(frozen=True)
class _SetShape(Shape):
    """`set`, told from a prompt like "set theory" by its first word: a setting, or nearly one."""

    def fits(self, rest: str) -> bool:
        """Whether what follows begins with a setting, a slip of one, or nothing at all."""
        key = rest.partition(" ")[0]
        known = config.Settings.class_own_settings()
        return not key or "_" in key or bool(difflib.get_close_matches(key, known, 1, cutoff=0.75))


ROWS: tuple[Row, ...] = (
    (
        Shape(
            "alias",
            "[NAME=[MODEL]]",
            r"([^\s=-][^\s=]*\s*=\s*\S*)?",
            "a short NAME for a MODEL, for -m; NAME= takes it back; alone, the list",
            completes="alias",
        ),
        _alias,
    ),
    (
        _SetShape(
            "set",
            "[KEY [VALUE]]",
            "",
            "give the setting KEY a VALUE; without, show it, or all",
            completes="setting",
        ),
        _set,
    ),
    (
        Shape(
            "system",
            "[TEXT|-]",
            r"(?!of\b)(.*[^?])?",
            "the TEXT that goes before every prompt as instructions; - clears it; alone, shows it",
        ),
        _system,
    ),
    (Shape("stop", "", "", "stop the replies in the background; their text is kept"), _stop),
)
