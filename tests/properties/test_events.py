"""Streams of models' servers: events, and the reply that they make."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tests.fuzz import dialects
from tests.properties import tried
from tests.properties.test_waits import JSON

LINE = (
    st.sampled_from(
        ["data: {}", "data:", ": x", "event: y", "data: [DONE]", "\ufeffdata: z", "datax", ""]
    )
    | st.text(max_size=6).map("data: {}".format)
    | st.text(max_size=6)
)
STREAM = st.lists(st.tuples(LINE, st.sampled_from(["\n", "\r", "\r\n", "\n\n"])), max_size=8).map(
    lambda lines: "".join(line + end for line, end in lines).encode()
)
START = st.sampled_from([b"", b"\xef\xbb\xbf", b"\n", b"\xef\xbb", b"\r"])
# Each name of either dialect, with what should be behind it, or anything at all.
_SHAPES: dict[str, Any] = {}
for _name in [
    "content",
    "text",
    "refusal",
    "finish_reason",
    "finishReason",
    "finishMessage",
    "category",
    "blocked",
    "thought",
    "prompt_tokens",
    "completion_tokens",
    "promptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "blockReason",
    "retryDelay",
    "message",
    "code",
    "type",
]:
    _SHAPES[_name] = JSON


def _object(*names: str) -> st.SearchStrategy[Any]:
    return JSON | st.fixed_dictionaries({}, optional={name: _SHAPES[name] for name in names})


def _list(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return JSON | st.lists(of, max_size=2)


_SHAPES["parts"] = _list(_object("text", "thought"))
_SHAPES["content"] = _object("parts") | _SHAPES["parts"]
_SHAPES["delta"] = _SHAPES["message"] = _object("content", "refusal")
_SHAPES["safetyRatings"] = _list(_object("category", "blocked"))
_SHAPES["details"] = _list(_object("retryDelay"))
_SHAPES["choices"] = _list(_object("delta", "message", "finish_reason"))
_SHAPES["candidates"] = _list(_object("content", "finishReason", "finishMessage", "safetyRatings"))
_SHAPES["usage"] = _object("prompt_tokens", "completion_tokens")
_SHAPES["usageMetadata"] = _object("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
_SHAPES["promptFeedback"] = _object("blockReason", "safetyRatings")
_SHAPES["error"] = _object("message", "code", "type", "details")
EVENT = _object("choices", "candidates", "usage", "usageMetadata") | _object(
    "promptFeedback", "error"
)


@tried(2)
@given(START, STREAM)
@example(b"", b"\n\xef\xbb\xbfdata: x\n\n")
def test_events_are_the_standards(start: bytes, stream: bytes) -> None:
    """Lines, ends, comments and marks mean what the standard says, wherever they are cut."""
    dialects.run(start + stream)


@tried(3)
@given(st.lists(EVENT, max_size=3))
@example([{"candidates": [{"finishReason": {}}]}])
@example([{"choices": [{"delta": {"content": "\ude00x"}}]}])
@example([{"usage": {"prompt_tokens": True, "completion_tokens": 10**400}}])
@example([{"usageMetadata": {"promptTokenCount": -1, "candidatesTokenCount": 1}}])
def test_any_json_ends_in_text_or_words(events: list[Any]) -> None:
    """No shape of JSON in an event is an error of ours, in either dialect."""
    dialects.run(b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events))
    dialects.run(json.dumps(events[0] if events else None).encode())
