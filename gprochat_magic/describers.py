"""How values of a user's own types are told to a model: the registry behind `-x`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

_describers: dict[type, Callable[[Any], str]] = {}


def register_context(kind: type[T], describe: Callable[[T], str]) -> None:
    """Say how a value of a type, or of its subclasses, is described where `-x` puts it in.

    `describe` gets the value and returns text, which is masked and cut like any other context.
    Registering a type again replaces what it had. A type of your own can have a method
    `_repr_llm_` instead, which returns text. Raises `TypeError` for what is no type or no function.

        register_context(Mesh, lambda mesh: f"{len(mesh.cells)} cells, {mesh.bounds}")
    """
    if not isinstance(kind, type) or not callable(describe):
        raise TypeError("register_context needs a type and a function from a value to text")
    _describers[kind] = describe


def describer(value: object) -> Callable[[Any], str] | None:
    """The function for a value: its type's, or that of the nearest base; None where none is."""
    return next((_describers[kind] for kind in type(value).__mro__ if kind in _describers), None)
