"""The raw bytes of a request to the gateway: head, body, signatures, and what a model is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from gprochat_magic import wire
from gprochat_magic.gateway.backends import BackendError, asked, gemini, openai_compatible
from gprochat_magic.gateway.clients import unnamed
from gprochat_magic.gateway.guard import Admitted, Guard, Refused
from gprochat_magic.messages import format_prompt
from tests.gateway.deciding import now
from tests.payloads import PAYLOADS

_NOW = 1_700_000_000
_SECRET = "made up for the fuzzer, long enough"
_HOST = "127.0.0.1:8765"
_ORIGIN = "https://gprochat.com"
_MARK = b"\r\n\r\n"

_HEAD = f"POST {wire.PATH} HTTP/1.1\r\nHost: {_HOST}\r\nOrigin: {_ORIGIN}".encode()
_TURNS = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "what is it?"},
    {"role": "assistant", "content": "User: yes\nAssistant: no"},
    {
        "role": "user",
        "content": [{"text": "x"}, {"inline_data": {"mime_type": "image/png", "data": "aGk="}}],
    },
]


def _seed(kind: wire.Wire, messages: Any, **more: Any) -> bytes:
    return wire.build(messages, secret="", timestamp=_NOW * 1000, wire=kind, **more).body


SEEDS = [
    _seed("flat", [{"role": "user", "content": "hello"}]),
    _seed("turns", _TURNS, model="m", options={"temperature": 0.5, "max_tokens": 9, "stop": ["x"]}),
    _seed("turns", _TURNS[:3], model="models/m", options={"top_p": 1, "seed": 3, "n": 2}),
    *(_seed("flat", [{"role": "user", "content": text}]) for _, text in PAYLOADS[::6]),
    _HEAD + b"\r\nContent-Length: 3" + _MARK + b"{}",
    _HEAD + b"\r\nTransfer-Encoding: chunked\r\nSec-Fetch-Site: none" + _MARK + b"[]",
    b"GET * HTTP/1.0\r\nHost: evil.test\r\nHost: a\r\nOrigin: null" + _MARK,
    b'{"time": 1e3, "messages": [{"role": "user", "parts": [{"text": "\\ud800"}]}], "sign": NaN}',
]

WORDS = [
    '"messages":',
    '"role":',
    '"parts":',
    '"text":',
    '"inline_data":',
    '"mime_type":',
    '"image/png"',
    '"data":',
    '"time":',
    '"sign":',
    '"model":',
    '"options":',
    '"temperature":',
    '"max_tokens":',
    '"stop":',
    '"stream":',
    '"pass":',
    "null",
    "true",
    "NaN",
    "1e999",
    "-1",
    "[]",
    "{}",
    "[[",
    '{"":',
    '"\\ud800"',
    '"user"',
    '"system"',
    "1700000000000",
    "Host:",
    "Origin:",
    "Content-Length:",
    "Transfer-Encoding:",
    "Sec-Fetch-Site:",
    "Content-Encoding:",
    "127.0.0.1:8765",
    "https://gprochat.com",
]


def run(data: bytes) -> None:
    """Bytes are refused in words, and what is signed reaches a model as it was signed."""
    head, mark, body = data.partition(_MARK)
    if mark:
        check_head(head)
    check_body(body if mark else data)


def check_head(head: bytes) -> None:
    """A head passes only with our own host, path, method and origin, and with one length."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, version, *_ = [*first.split(" "), "", "", ""]
    pairs = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    headers = CIMultiDictProxy(CIMultiDict(pairs))
    spoken = (1, 1) if version == "HTTP/1.1" else (1, 0)
    try:
        _guard().check_head(method, target, version=spoken, headers=headers)
    except Refused as refused:
        _check_status(refused.status)
        return
    assert (method, target, spoken) == ("POST", wire.PATH, (1, 1))
    names = [name.lower() for name, _ in pairs]
    assert [value for name, value in pairs if name.lower() == "host"] == [_HOST]
    assert {value for name, value in pairs if name.lower() == "origin"} <= {_ORIGIN}
    assert names.count("content-length") + names.count("transfer-encoding") <= 1


def check_body(body: bytes) -> None:
    """Nobody without the secret is admitted; under it, the model sees what was signed alone."""
    forged = _refused(body, {wire.SIGNATURE_HEADER: "v1=" + "0" * 64})
    assert forged == _refused(body, {})
    try:
        incoming = wire.parse(body)
    except wire.MalformedRequest:
        assert forged == 400
        return
    assert forged == 401
    signed, header = _signed(body, incoming)
    flat = _admitted(signed, {})
    assert flat == Admitted(
        [{"role": "user", "content": incoming.prompt}], {"model": ""}, flat.client
    )
    whole = _admitted(signed, {wire.SIGNATURE_HEADER: header})
    assert (whole.messages, whole.options) == (
        incoming.turns,
        {**incoming.options, "model": incoming.model},
    )
    assert format_prompt(whole.messages) == incoming.prompt
    assert _refused(signed + b" ", {wire.SIGNATURE_HEADER: header}) == 401
    _ask(whole)
    _ask(flat)


def _signed(body: bytes, incoming: wire.Incoming) -> tuple[bytes, str]:
    content = json.loads(body)
    content["time"] = _NOW * 1000
    content["sign"] = wire.sign(_NOW * 1000, incoming.prompt, _SECRET)
    signed = json.dumps(content).encode()
    return signed, wire.sign_body(_NOW * 1000, signed, _SECRET)


def _ask(admitted: Admitted) -> None:
    """The shapes in which our backends ask are JSON, or a refusal in words that can be sent."""
    try:
        turns = asked.turns_of(admitted.messages)
        json.dumps([openai_compatible.message_for(turn) for turn in turns]).encode()
        json.dumps(gemini._body(turns, admitted.options)).encode()
        gemini._path_of(asked.model_of(admitted.options, "m")).encode("ascii")
    except BackendError as error:
        _check_status(error.status)


def _check_status(status: int) -> None:
    assert status in (400, 403, 404, 405, 413, 415, 421, 505), status


def _guard() -> Guard:
    return Guard(unnamed([_SECRET]), [_HOST], now=lambda: _NOW)


def _admitted(body: bytes, headers: dict[str, str]) -> Admitted:
    return now(_guard().admit(body, CIMultiDictProxy(CIMultiDict(headers))))


def _refused(body: bytes, headers: dict[str, str]) -> int:
    with pytest.raises(Refused) as caught:
        _admitted(body, headers)
    caught.value.text.encode()
    return caught.value.status
