"""The subcommands about who answers: backend, models, key."""

from __future__ import annotations

import difflib
import getpass
import re
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from IPython.core.error import StdinNotImplementedError, UsageError

from gprochat_magic import config, engine
from gprochat_magic.config import Secret
from gprochat_magic.errors import ConfigError, GPROChatError
from gprochat_magic.notebook.grammar import Row, Shape

if TYPE_CHECKING:
    from gprochat_magic.notebook.magics import GPROChatMagics

_LOOK = 2.0
"""Seconds that a backend has to list its models when it is chosen."""
_TAB = 1.0
"""The same where Tab waits for it, once."""
_SHOWN = 8
"""Models that are named in one line."""


def _models(magics: GPROChatMagics, argument: str) -> str:
    known = _remembered(magics, models_of(magics))
    in_force = model_in_force(magics)
    names = known if in_force in known else [in_force, *known]
    if not in_force:
        # The backend decides; one with a single model needs no name.
        names, in_force = known, known[0] if len(known) == 1 else ""
    rows = [f"{'*' if name == in_force else ' '} {name}" for name in names]
    where = config.host_of(magics.api_endpoint) or f"the embedded gateway, backend {magics.backend}"
    aliases = [f"{name} = {model}" for name, model in sorted(magics.aliases.items())]
    return "\n".join([f"Behind {where}:", *rows, *aliases])


def model_in_force(magics: GPROChatMagics) -> str:
    """The model that a prompt asks for; empty where the backend is to choose."""
    from gprochat_magic.chat import model_for  # brings aiohttp, which loading must not
    from gprochat_magic.gateway.backends import read_name

    return model_for("", magics) or read_name(magics.backend).model


def models_of(magics: GPROChatMagics, *, seconds: float = 5.0) -> list[str]:
    """The models that are known where prompts go. Asks the embedded gateway's backend.

    Raises `GPROChatError` for a backend that does not answer in time.
    """
    from gprochat_magic import embedded  # brings aiohttp, which loading must not
    from gprochat_magic.provider import GPROChat

    if magics.api_endpoint:
        return GPROChat.get_models()

    async def asked() -> list[str]:
        return await embedded.shared().models(magics.backend, seconds=seconds)

    return engine.shared().run(asked())


def seen_models(magics: GPROChatMagics) -> list[str]:
    """The models that were listed last; a backend that was never asked is asked now, once."""
    if magics.models_from != magics.backend and not magics.api_endpoint:
        try:
            _remembered(magics, models_of(magics, seconds=_TAB))
        except GPROChatError:
            _remembered(magics, [])  # `models` says why
    return magics.models_seen


def _remembered(magics: GPROChatMagics, models: list[str]) -> list[str]:
    magics.models_seen, magics.models_from = models, magics.backend
    return models


def chosen(magics: GPROChatMagics, name: str) -> str:
    """Let another backend answer; says whether it does. Raises `ConfigError` for none."""
    from gprochat_magic import embedded
    from gprochat_magic.gateway.backends import TABLE

    async def switched() -> None:
        await embedded.shared().switch(name)

    try:
        engine.shared().run(switched())
    except ConfigError as error:
        near = difflib.get_close_matches(name.partition("/")[0].lower(), TABLE, 1)
        ask = f"Did you mean {near[0]}? " if near and near[0] != name else ""
        raise ConfigError(error.message, hint=ask + error.hint) from None
    magics.backend = name
    if magics.api_endpoint:
        where = config.host_of(magics.api_endpoint)
        return (
            f"{name} is the embedded gateway's backend; but prompts go to {where} (api_endpoint)."
        )
    return _first_look(magics, name)


def _first_look(magics: GPROChatMagics, name: str) -> str:
    from gprochat_magic.gateway.backends import read_name

    try:
        known = _remembered(magics, models_of(magics, seconds=_LOOK))
    except GPROChatError as error:
        _remembered(magics, [])
        return f"{name} is chosen, but does not answer now: {error.message}\n  → {error.hint}"
    model = read_name(name).model
    some = ", ".join(known[:_SHOWN]) + (", …" if len(known) > _SHOWN else "")
    if model and known and not {model, f"{model}:latest"} & set(known):
        return f"{name} answers from the next prompt on, if it can: its server lists {some}."
    if not model and len(known) > 1:
        return f"{name} answers from the next prompt on; -m names its model: {some}."
    return f"{name} answers from the next prompt on."


def _backend(magics: GPROChatMagics, name: str) -> str:
    from gprochat_magic import embedded

    if name:
        return chosen(magics, name)

    async def surveyed() -> dict[str, str]:
        return await embedded.shared().survey()

    found = engine.shared().run(surveyed())
    width = max(map(len, found)) + 2
    rows = [f"  {each:<{width}}{told}" for each, told in found.items()]
    return "\n".join([f"{magics.backend}, behind the embedded gateway. There are:", *rows])


def _key(magics: GPROChatMagics, backend: str) -> str:
    if _LIKE_A_KEY.fullmatch(backend):
        raise UsageError(
            "a key is no argument: this cell and the history hold it now, so choose another; "
            "%gprochat key asks for it unseen"
        )
    if not backend and not magics.api_endpoint and magics.backend != "demo":
        backend = magics.backend
    if backend:
        return _key_of(magics, backend)
    secret = _asked(magics, "Secret key: ")
    if not secret:
        return _NOTHING
    magics.secret_key = secret
    if not magics.api_endpoint:
        return "The key is set; it signs as soon as there is an api_endpoint."
    return f"The key is set; it signs what goes to {config.host_of(magics.api_endpoint)}."


def _key_of(magics: GPROChatMagics, backend: str) -> str:
    from gprochat_magic import embedded
    from gprochat_magic.gateway.backends import read_name

    async def given(key: Secret) -> None:
        await embedded.shared().give_key(backend, key)

    engine.shared().run(given(Secret()))  # before anybody types: is there such a backend?
    holder = read_name(backend).keyholder
    key = _asked(magics, f"Key of {holder}: ")
    if not key:
        return _NOTHING
    engine.shared().run(given(key))
    magics.models_from = ""  # what it lists may be more with a key
    return f"The key goes to {holder} from the next prompt on, until this kernel ends."


def _asked(magics: GPROChatMagics, prompt: str) -> Secret:
    """What is typed unseen; empty for nothing. Raises `ConfigError` where it would be seen."""
    if getattr(magics.shell, "kernel", None) is None and not sys.stdin.isatty():
        raise _no_prompt()
    try:
        with warnings.catch_warnings():
            # Where it cannot hide what is typed, it warns and shows it: rather not at all.
            warnings.simplefilter("error", getpass.GetPassWarning)
            return Secret(getpass.getpass(prompt).strip())
    except (StdinNotImplementedError, EOFError, getpass.GetPassWarning):
        raise _no_prompt() from None


_NOTHING = "Nothing was typed; the key stays as it was."


def _no_prompt() -> ConfigError:
    return ConfigError(
        "a key cannot be asked for here: nobody can type without showing it",
        hint="Set its variable, such as GPROCHAT_SECRET_KEY, before the kernel starts.",
    )


_LIKE_A_KEY = re.compile(r"(?=\S*\d)[\w.-]{16,}")


@dataclass(frozen=True)
class _KeyShape(Shape):
    """`key`, told from a prompt like "key insights" by what follows: a backend, or nothing."""

    def fits(self, rest: str) -> bool:
        """Whether what follows is a backend, a slip of one, a key, or nothing at all."""
        if not rest or len(rest.split()) > 1:
            return not rest
        if _LIKE_A_KEY.fullmatch(rest):
            return True  # as a prompt it would be sent
        from gprochat_magic.gateway.backends import TABLE, read_name

        name = read_name(rest)
        near = difflib.get_close_matches(name.provider, TABLE, 1, cutoff=0.75)
        return name.is_address or bool(near)


ROWS: tuple[Row, ...] = (
    (Shape("models", "", "", "the models that answer where prompts go"), _models),
    (
        Shape(
            "backend",
            "[NAME|URL]",
            r"\S*",
            "who answers behind the embedded gateway: a NAME, or the URL of a server; alone, "
            "whom there is",
            completes="backend",
        ),
        _backend,
    ),
    (
        _KeyShape(
            "key",
            "[BACKEND]",
            "",
            "type the key of a BACKEND, or the secret of your endpoint, unseen and unkept",
            completes="backend",
        ),
        _key,
    ),
)
