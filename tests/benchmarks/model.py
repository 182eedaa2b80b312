"""A model's server on loopback that speaks chat completions at a set pace, and notes the time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from tests.backends.scripted import DONE, delta, event

MARK = "Zebra"
"""The first word of every reply, by which its first text is known."""


class Model:
    """Answers every request with `pieces`, `pause` seconds apart.

    `began` is when the first piece was made, on the monotonic clock, since it was 0. Who does not
    ask for a stream waits for as long as the reply takes to make. `asked` holds the requests.
    """

    def __init__(self) -> None:
        self.pieces = [f"{MARK} ", "and ", "more."]
        self.pause = 0.0
        self.began = 0.0
        self.asked: list[dict[str, Any]] = []
        self.url = ""

    @property
    def text(self) -> str:
        """The whole reply."""
        return "".join(self.pieces)

    async def models(self, request: web.Request) -> web.Response:
        """The list of models: one."""
        return web.json_response({"object": "list", "data": [{"id": "m", "object": "model"}]})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """A reply, streamed if that is asked for."""
        body = await request.json()
        self.asked.append(body)
        # Headers and the setting-up of a stream are not the model's first byte.
        return await (self._streamed(request) if body.get("stream") else self._whole())

    async def _streamed(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        due = time.monotonic()
        self.began = self.began or due
        for piece in self.pieces:
            await response.write(_delta(piece))
            due += self.pause
            if (rest := due - time.monotonic()) > 0:
                await asyncio.sleep(rest)
        await response.write(_delta("", finish_reason="stop") + DONE)
        return response

    async def _whole(self) -> web.Response:
        self.began = self.began or time.monotonic()
        await asyncio.sleep(self.pause * len(self.pieces))
        said = {"role": "assistant", "content": self.text}
        choice = {"index": 0, "message": said, "finish_reason": "stop"}
        return web.json_response({**_ABOUT, "object": "chat.completion", "choices": [choice]})


_ABOUT: dict[str, Any] = {
    "id": "c1",
    "created": 0,
    "model": "m",
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


def _delta(text: str, **more: Any) -> bytes:
    """The event for a piece, with all the fields that a strict client asks for."""
    plain = json.loads(delta(text, **more).removeprefix(b"data: "))
    about = {name: value for name, value in _ABOUT.items() if name != "usage"}
    return event({**about, "object": "chat.completion.chunk", **plain})


def said_in(asked: dict[str, Any]) -> str:
    """All that a request says, as one text."""
    return "\n".join(_said(message) for message in asked["messages"])


def _said(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


@contextlib.contextmanager
def serving() -> Iterator[Model]:
    """The server, on a thread of this process."""
    model = Model()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def there(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=2**24)
        app.router.add_get("/v1/models", model.models)
        app.router.add_post("/v1/chat/completions", model.complete)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        model.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return runner

    try:
        runner = there(start())
        yield model
        there(runner.cleanup())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
