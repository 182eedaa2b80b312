"""What Tab offers: flags, subcommands, models, conversations, and names inside braces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gprochat_magic.errors import GPROChatError
from gprochat_magic.notebook import choices as choices_of
from gprochat_magic.notebook import commands, context, grammar, values

if TYPE_CHECKING:
    from gprochat_magic.notebook.magics import GPROChatMagics


class Offers:
    """What can be typed next, as the magics of a shell know it."""

    def __init__(self, magics: GPROChatMagics) -> None:
        self._magics = magics
        self._shapes = {shape.name: shape for shape in commands.SHAPES if shape.name}

    def words(self, before: list[str], fragment: str) -> list[str]:
        """What a word can become behind those before it."""
        before = [word for word in before if word]
        last = before[-1] if before else ""
        shape = self._shapes.get(before[0]) if before else None
        flags = grammar.flags_behind(shape) if shape else grammar.FLAGS
        by_name = {name: flag for flag in flags for name in flag.names}
        if (flag := by_name.get(last)) and flag.metavar:
            return self._values(flag.completes, flag.choices)
        if fragment.startswith("-") and (shape or not grammar.begins_prompt(" ".join(before))):
            return [name for name in by_name if name.startswith(fragment)]
        if shape:
            return self._values(shape.completes, (), before[1:])
        return list(self._shapes) if not before else []

    def _values(self, kind: str, choices: tuple[str, ...], before: Sequence[str] = ()) -> list[str]:
        if kind == "conversation" and not before:
            try:
                return list(map(values.quoted, self._magics.conversations().names()))
            except GPROChatError:
                return []  # a history that cannot be read now has no names to offer
        if kind == "context":
            return [*self.names(""), "In[", "Out[", "Err[", *context.WORDS, "file:"]
        if kind in ("picture", "variable"):
            return self.names("")
        if kind == "subcommand" and not before:
            return list(self._shapes)
        return list(choices) or choices_of.offered(self._magics, kind, list(before))

    def names(self, path: str) -> list[str]:
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
