"""The user's variables, as a panel offers them and puts them into a prompt."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from IPython.core.getipython import get_ipython

from gprochat_magic.notebook import prompt

OFFERED = 50
"""Names in one answer."""


def filled(text: str, *, standing: Collection[str] = ()) -> str:
    """A prompt with the values in, but for fields that are text already.

    Raises `UsageError` for a value that cannot be shown.
    """
    return prompt.fill(text, _namespace(), standing=standing).text


def fields(text: str) -> frozenset[str]:
    """What looks like a field in a text, braces and all."""
    return frozenset(prompt.fields_of(text))


def names(prefix: str) -> list[str]:
    """The names that begin so; the user's own only."""
    shell: Any = get_ipython()
    hidden = shell.user_ns_hidden if shell is not None else {}
    own = [name for name in list(_namespace()) if name not in hidden and name[0] != "_"]
    return sorted(name for name in own if name.startswith(prefix))[:OFFERED]


def _namespace() -> dict[str, Any]:
    shell: Any = get_ipython()
    return shell.user_ns if shell is not None else {}
