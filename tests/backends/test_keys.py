"""Where a provider's key comes from."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Callable

import pytest

from gprochat_magic.config import Secret
from gprochat_magic.gateway.backends.keys import SERVICE, Keys

pytestmark = pytest.mark.asyncio

VARIABLES = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
Answering = Callable[[str, str], str | None]


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answering], None]:
    """Puts a keyring that answers so in place of the system's."""

    def install(answer: Answering) -> None:
        fake = types.SimpleNamespace(get_password=answer)
        monkeypatch.setitem(sys.modules, "keyring", fake)

    return install


async def test_the_first_variable_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read at each request, so a key set later is found."""
    keys = Keys(VARIABLES)
    nothing = await keys.find()
    monkeypatch.setenv("GOOGLE_API_KEY", " second\n")
    second = await keys.find()
    monkeypatch.setenv("GEMINI_API_KEY", "first")
    first = await keys.find()

    assert ["", "second", "first"] == [key.reveal() for key in (nothing, second, first)]


async def test_a_key_that_was_typed_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the one that the user has just decided on."""
    monkeypatch.setenv("GEMINI_API_KEY", "old")

    assert "new" == (await Keys(VARIABLES, given=Secret("new")).find()).reveal()


async def test_the_keyring_is_asked_once(keyring: Callable[[Answering], None]) -> None:
    """For each variable's name in turn, and the answer is kept."""
    asked = []

    def answer(service: str, user: str) -> str | None:
        asked.append((service, user))
        return "kept" if user == "GOOGLE_API_KEY" else None

    keyring(answer)
    keys = Keys(VARIABLES, keyring=True)
    found = [(await keys.find()).reveal() for _ in range(2)]

    assert ["kept", "kept"] == found
    assert [(SERVICE, variable) for variable in VARIABLES] == asked


async def test_a_keyring_that_waits_is_left_waiting(keyring: Callable[[Answering], None]) -> None:
    """A locked one may ask a user who is not there."""
    locked = threading.Event()
    keyring(lambda service, user: str(locked.wait()))
    try:
        assert not await Keys(VARIABLES, keyring=True).find(seconds=0.1)
    finally:
        locked.set()


async def test_a_keyring_that_fails_has_no_key(keyring: Callable[[Answering], None]) -> None:
    """Without a desktop its back ends raise what they like."""

    def fail(service: str, user: str) -> str | None:
        raise RuntimeError("no D-Bus")

    keyring(fail)

    assert not await Keys(VARIABLES, keyring=True).find()


async def test_without_the_package_there_is_no_keyring() -> None:
    """It is an extra."""
    assert not await Keys(VARIABLES, keyring=True).find()
