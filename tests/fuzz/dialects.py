"""What a model's server streams: events wherever they are cut, and the reply that they make."""

from __future__ import annotations

import asyncio
import json
import types
from typing import Any, cast

import aiohttp
from multidict import CIMultiDict

from gprochat_magic.config import Secret
from gprochat_magic.gateway.backends import BackendError, Usage, openai_compatible, speech
from gprochat_magic.gateway.backends.events import EventDecoder
from gprochat_magic.gateway.backends.gemini import Gemini
from gprochat_magic.gateway.backends.upstream import Answer, Patience
from tests.fuzz.cutting import cut


def _events(*objects: object) -> bytes:
    return b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in objects)


SEEDS = [
    b"\xef\xbb\xbf: a comment\r\nevent: x\r\nid: 1\r\ndata: {}\r\n\r\ndata:[DONE]\n\n",
    _events(
        {"choices": [{"delta": {"role": "assistant", "content": None}}]},
        {"choices": [{"delta": {"content": "Hi \ud83d"}}]},
        {"choices": [{"delta": {"content": [{"type": "text", "text": "\ude00"}]}}]},
        {"choices": [{"delta": {}, "finish_reason": "length"}]},
        {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
    ),
    _events({"error": {"code": 429, "message": "\ud800 slow", "details": [{"retryDelay": "3s"}]}}),
    _events({"choices": [{"message": {"content": "x", "refusal": "y"}, "finish_reason": "stop"}]}),
    _events(
        {"candidates": [{"content": {"parts": [{"text": "a", "thought": True}, {"text": "b"}]}}]},
        {"candidates": [{"finishReason": "STOP"}]},
        {
            "candidates": [
                {"finishReason": "SAFETY", "safetyRatings": [{"category": "A", "blocked": True}]}
            ]
        },
        {
            "usageMetadata": {
                "promptTokenCount": 1,
                "candidatesTokenCount": 2,
                "thoughtsTokenCount": 3,
            }
        },
        {"promptFeedback": {"blockReason": "OTHER", "safetyRatings": []}},
    ),
    b'{"error": "plain"}',
    b"<html><title>a page</title></html>",
]

WORDS = [
    "data:",
    '"choices":',
    '"delta":',
    '"message":',
    '"content":',
    '"refusal":',
    '"finish_reason":',
    '"usage":',
    '"error":',
    '"prompt_tokens":',
    '"completion_tokens":',
    '"candidates":',
    '"parts":',
    '"text":',
    '"thought":',
    '"finishReason":',
    '"finishMessage":',
    '"safetyRatings":',
    '"category":',
    '"blocked":',
    '"usageMetadata":',
    '"promptTokenCount":',
    '"candidatesTokenCount":',
    '"promptFeedback":',
    '"blockReason":',
    '"code":',
    '"details":',
    '"retryDelay":',
    '"3s"',
    "[DONE]",
    "[]",
    "{}",
    "[{",
    "}]",
    "null",
    "true",
    "1e999",
    "-1",
    '"\\ud83d"',
    '"\\ude00"',
    '"length"',
    '"STOP"',
    "429",
    "\ufeff",
]


def expected(data: bytes) -> list[str]:
    """The data of the events in these bytes, as the standard says it, read in one piece."""
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    found, held = [], list[str]()
    for line in [*lines, ""]:
        if line.startswith("data:"):
            held.append(line[5:].removeprefix(" "))
        elif not line and held:
            found.append("\n".join(held))
            held = []
    return found


def run(data: bytes) -> None:
    """Events are the standard's wherever they are cut; a reply ends in text or in words."""
    alone = [data[at : at + 1] for at in range(len(data))]
    for pieces in (cut(data), alone):
        decoder = EventDecoder()
        events = [event for piece in pieces for event in decoder.feed(piece)] + decoder.end()
        assert expected(data) == events
    _LOOP.run_until_complete(_listen(data))


async def _listen(data: bytes) -> None:
    for kind in ("text/event-stream", "application/json"):
        for read in (openai_compatible._said, _GEMINI._said):
            await _hear(_answer(data, kind), read)


async def _hear(answer: Answer, read: Any) -> None:
    try:
        async for piece in speech._pieces(answer, read):
            assert isinstance(piece, str)
            piece.encode()
            if isinstance(piece, Usage):
                assert type(piece.sent) is type(piece.received) is int
                assert (
                    0 <= min(piece.sent, piece.received) <= max(piece.sent, piece.received) < 2**53
                )
    except BackendError as error:
        _check_status(error.status)


def _check_status(status: int) -> None:
    assert 400 <= status < 600, status


class _Cut:
    """A body that gives one piece after another, as a socket does."""

    def __init__(self, data: bytes) -> None:
        self._pieces = [piece for piece in cut(data) if piece]

    def read_nowait(self, n: int = -1) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    async def readany(self) -> bytes:
        return self.read_nowait()


def _answer(data: bytes, kind: str) -> Answer:
    response = types.SimpleNamespace(
        content=_Cut(data), headers=CIMultiDict(), status=200, content_type=kind
    )
    made = cast("aiohttp.ClientResponse", response)
    return Answer(made, "a server", Secret(), patience=Patience())


_LOOP = asyncio.new_event_loop()
_GEMINI = Gemini("m", key=Secret("made up"))
