"""The tree of errors, as it is drawn and as it is."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from collections.abc import Iterator

import pytest

from gprochat_magic import errors


def drawn() -> dict[str, str]:
    """Each class of the drawing with the one it hangs from."""
    parents: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"    ([│├└─ ]*)(\w+)(  |$)", line):
            depth = len(found[1]) // 4
            above[depth:] = [found[2]]
            parents[found[2]] = above[depth - 1] if depth else ""
    return parents


def classes() -> Iterator[type[errors.GPROChatError]]:
    """Every error class of the package."""
    for _, value in inspect.getmembers(errors, inspect.isclass):
        if issubclass(value, errors.GPROChatError):
            yield value


ALL = list(classes())


def test_drawing_is_the_tree() -> None:
    """The drawing shows every class, under the class it derives from."""
    real = {
        one.__name__: "" if one is errors.GPROChatError else one.__bases__[0].__name__
        for one in ALL
    }

    assert drawn() == real


@pytest.mark.parametrize("one", ALL)
def test_every_class_is_described(one: type[errors.GPROChatError]) -> None:
    """Every error says in a sentence what it is, has a kind of its own, and tells what to do."""
    assert (one.__doc__ or "").strip().endswith(".")
    assert one.hint.endswith((".", "?"))
    assert [one] == [other for other in ALL if other.kind == one.kind]


def test_timeouts_are_timeouts() -> None:
    """Whoever waits for the builtin timeout gets ours."""
    timeouts = {one.__name__ for one in ALL if issubclass(one, TimeoutError)}

    assert timeouts == {"ConnectTimeout", "FirstTokenTimeout", "DeadlineExceeded", "IdleTimeout"}


@pytest.mark.parametrize("one", ALL)
@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy])
def test_round_trip(one: type[errors.GPROChatError], copied: object) -> None:
    """An error that was pickled or copied is of its class and holds its facts."""
    facts = {
        "hint": "Do this.",
        "kind": "special",
        "status": 418,
        "retryable": True,
        "attempts": 3,
        "retry_after": 1.5,
        "request_id": "abc",
        "partial": "Привет",
    }
    error = one("what happened", **facts)  # type: ignore[arg-type]  # one dict for all kinds
    error.__cause__ = ValueError("a secret")
    again = copied(error)  # type: ignore[operator]  # one of the two functions above

    assert type(again) is one
    assert str(again) == "what happened"
    assert facts == {name: getattr(again, name) for name in facts}
    assert again.__cause__ is None


@pytest.mark.parametrize("one", ALL)
def test_two_lines(one: type[errors.GPROChatError]) -> None:
    """In a notebook an error is its name and message, and what to do."""
    lines = one("what happened")._render_traceback_()

    assert lines == [f"{one.__name__}: what happened", f"  → {one.hint}"]


def test_interrupt_is_the_users_own() -> None:
    """A stopped reply is a KeyboardInterrupt in one line, and none of our errors."""
    stopped = errors.ReplyInterrupted()

    assert isinstance(stopped, KeyboardInterrupt)
    assert len(stopped._render_traceback_()) == 1
