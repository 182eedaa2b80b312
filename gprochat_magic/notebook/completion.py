"""Tab: flags, subcommands, models, conversations, and the user's names inside braces."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)

from gprochat_magic.errors import GPROChatError
from gprochat_magic.notebook import choices as choices_of
from gprochat_magic.notebook import context, grammar
from gprochat_magic.notebook.grammar import Shape

if TYPE_CHECKING:
    from gprochat_magic.notebook.magics import GPROChatMagics

_MAGIC = re.compile(r"(?:^|=)\s*%%?gprochat\s(?P<typed>.*)$")
_FIELD = re.compile(r"\{(?P<path>[^\W\d][\w.]*|)$")


class Completion:
    """A matcher for IPython's completer. It answers only on lines and in cells of ours."""

    def __init__(self, magics: GPROChatMagics, shapes: Iterable[Shape]) -> None:
        self._magics = magics
        self._shapes = {shape.name: shape for shape in shapes if shape.name}

        # The matcher carries attributes, which a bound method cannot, and a name, which a partial
        # function has not.
        marked: Any = context_matcher(identifier="gprochat")

        def match(typing: CompletionContext) -> SimpleMatcherResult:
            return self._match(typing)

        self.match = marked(match)

    def _match(self, typing: CompletionContext) -> SimpleMatcherResult:
        until = typing.text_until_cursor
        line = _MAGIC.search(until)
        inside_cell = typing.full_text.startswith("%%gprochat") and typing.cursor_line > 0
        if line is None and not inside_cell:
            return {"completions": []}
        if field := _FIELD.search(until):
            return _result(self._names(field["path"]), field["path"])
        if line is None:
            return {"completions": [], "suppress": True}
        words = line["typed"].split(" ")
        return _result(self._words(words[:-1], words[-1]), words[-1])

    def _words(self, before: list[str], fragment: str) -> list[str]:
        before = [word for word in before if word]
        last = before[-1] if before else ""
        shape = self._shapes.get(before[0]) if before else None
        own = {name: flag for flag in shape.flags for name in flag.names} if shape else {}
        if (flag := (own or grammar.BY_NAME).get(last)) and flag.metavar:
            return self._values(flag.completes, flag.choices)
        if own and fragment.startswith("-"):
            return [name for name in own if name.startswith(fragment)]
        if shape:
            return self._values(shape.completes, (), before[1:])
        if fragment.startswith("-"):
            return [name for name in grammar.BY_NAME if name.startswith(fragment)]
        return list(self._shapes) if not before else []

    def _values(self, kind: str, choices: tuple[str, ...], before: Sequence[str] = ()) -> list[str]:
        if kind == "conversation" and not before:
            try:
                return self._magics.conversations().names()
            except GPROChatError:
                return []  # a history that cannot be read now has no names to offer
        if kind == "context":
            return [*self._names(""), "In[", "Out[", "Err[", *context.WORDS, "file:"]
        if kind in ("picture", "variable"):
            return self._names("")
        if kind == "subcommand" and not before:
            return list(self._shapes)
        return list(choices) or choices_of.offered(self._magics, kind, list(before))

    def _names(self, path: str) -> list[str]:
        """What a field can begin with: the user's names, or attributes of what is typed already."""
        owner, dot, _ = path.rpartition(".")
        if not dot:
            hidden = self._magics.shell.user_ns_hidden
            return [name for name in self._magics.shell.user_ns if name not in hidden]
        first, *rest = owner.split(".")
        try:
            found = self._magics.shell.user_ns[first]
            for attribute in rest:
                found = getattr(found, attribute)
            return [f"{owner}.{name}" for name in dir(found) if not name.startswith("_")]
        except Exception:  # noqa: BLE001  # a property may raise anything, and Tab must not
            return []


def _result(candidates: Iterable[str], fragment: str) -> SimpleMatcherResult:
    fitting = [SimpleCompletion(each) for each in candidates if each.startswith(fragment)]
    return {"completions": fitting, "matched_fragment": fragment, "suppress": True}
