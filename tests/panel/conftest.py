"""A panel whose messages are recorded, on a scripted gateway."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import comm
import pytest
from comm.base_comm import BaseComm

from gprochat_magic import config, conversations, engine
from tests.gateways import Served, served


class Sent:
    """What panels have sent, of all comms, in order."""

    def __init__(self) -> None:
        self.all: list[tuple[str, dict[str, Any]]] = []
        self.changed = threading.Condition()

    def add(self, comm_id: str, data: dict[str, Any]) -> None:
        with self.changed:
            self.all.append((comm_id, data))
            self.changed.notify_all()

    def messages(self, *kinds: str, of: Any = None) -> list[dict[str, Any]]:
        """The custom messages, or those of some kinds, or those of one panel."""
        found = [
            data["content"]
            for comm_id, data in list(self.all)
            if data.get("method") == "custom" and (of is None or comm_id == of.model_id)
        ]
        return [each for each in found if not kinds or each["t"] in kinds]

    def wait(self, kind: str, count: int = 1, *, of: Any = None) -> list[dict[str, Any]]:
        """Wait until so many messages of a kind were sent."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.messages(kind, of=of)) >= count, 10), (
                self.messages()
            )
        return self.messages(kind, of=of)


class RecordingComm(BaseComm):
    """A comm that goes nowhere."""

    sent: Sent

    def publish_msg(self, msg_type: str, data: Any = None, **rest: Any) -> None:
        self.sent.add(self.comm_id, data or {})


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    recorded = Sent()

    def create(*args: Any, **kwargs: Any) -> BaseComm:
        made = RecordingComm.__new__(RecordingComm)
        made.sent = recorded
        made.__init__(*args, **kwargs)  # type: ignore[misc]
        return made

    monkeypatch.setattr(comm, "create_comm", create)
    return recorded


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with served() as gateway:
        for name, value in gateway.environment.items():
            monkeypatch.setenv(name, value)
        settings = config.Settings()
        config.put_in_force(settings)
        conversations.close()
        monkeypatch.setattr(conversations, "_shared", None)
        yield gateway

        async def end_of_reading() -> None:
            await asyncio.get_running_loop().shutdown_default_executor()

        engine.shared().submit(end_of_reading()).result(10)
        engine.shared().stop()
        conversations.close()
        config.withdraw(settings)


@pytest.fixture
def make(sent: Sent, far: Served) -> Iterator[Callable[..., Any]]:
    """Makes panels, and closes them at the end."""
    from gprochat_magic.notebook.panel import ChatPanel

    made: list[Any] = []

    def one(*args: Any, **kwargs: Any) -> Any:
        made.append(ChatPanel(*args, **kwargs))
        made[-1]._handle_custom_msg({"t": "hello", "v": 1}, [])
        return made[-1]

    yield one
    for panel in made:
        panel.close()


@pytest.fixture
def panel(make: Callable[..., Any]) -> Any:
    return make()
