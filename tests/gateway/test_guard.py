"""The guard's decisions, without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from gprochat_magic import wire
from gprochat_magic.clock import Clock
from gprochat_magic.errors import ConfigError
from gprochat_magic.gateway.clients import check, unnamed
from gprochat_magic.gateway.guard import Admitted, Guard, Refused
from gprochat_magic.gateway.nonces import MemoryNonces, NoncesUnkept
from gprochat_magic.messages import Messages, Part
from tests.gateway.deciding import now

SECRET = "made up for this test, long enough"
OTHER_SECRET = "another secret, as long as needed"
NOW = 1_700_000_000.0
HELLO: Messages = [{"role": "user", "content": "hello"}]


def headers(*pairs: tuple[str, str], **named: str) -> CIMultiDictProxy[str]:
    """Request headers, in which a name may come twice."""
    return CIMultiDictProxy(CIMultiDict([*pairs, *named.items()]))


def guard(**options: Any) -> Guard:
    """A guard whose clock stands still."""
    return Guard(unnamed([SECRET]), ["localhost"], **{"now": lambda: NOW, **options})


def built(messages: Messages = HELLO, *, at: float = NOW, **options: Any) -> wire.Outgoing:
    """A request as the client makes it."""
    return wire.build(messages, secret=SECRET, timestamp=int(at * 1000), **options)


def refusal(decision: Coroutine[Any, Any, Admitted]) -> Refused:
    """Why a request was not admitted."""
    with pytest.raises(Refused) as caught:
        now(decision)
    return caught.value


class TestHead:
    def judge(self, *pairs: tuple[str, str], method: str = "POST", target: str = wire.PATH) -> int:
        """The status that the guard gives to a head; 200 if it passes."""
        try:
            guard().check_head(method, target, version=(1, 1), headers=headers(*pairs))
        except Refused as refused:
            return refused.status
        return 200

    def test_own_host_passes(self) -> None:
        """A request that names our host, and no origin, passes."""
        assert 200 == self.judge(("Host", "localhost"))

    def test_the_protocols_origin_passes(self) -> None:
        """The origin that the protocol's clients send passes."""
        assert 200 == self.judge(("Host", "localhost"), ("Origin", "https://gprochat.com"))

    @pytest.mark.parametrize(
        ("status", "hosts"),
        [
            (400, []),
            (400, ["localhost", "localhost"]),
            (421, ["localhost:80"]),
            (421, ["localhost."]),
            (421, ["evil.localhost"]),
            (421, ["localhost.evil.example"]),
            (421, ["127.0.0.1"]),
            (421, [""]),
        ],
    )
    def test_F100_host_must_be_exactly_ours(self, status: int, hosts: list[str]) -> None:
        """Any Host but our own is refused, as are none and two."""
        assert status == self.judge(*(("Host", host) for host in hosts))

    @pytest.mark.parametrize("target", ["http://localhost/api/generate", "*", "localhost:80", ""])
    def test_F100_only_origin_form(self, target: str) -> None:
        """A target that is not a path is refused."""
        assert 400 == self.judge(("Host", "localhost"), target=target)

    @pytest.mark.parametrize(
        "pairs",
        [
            [("Origin", "null")],
            [("Origin", "https://evil.example")],
            [("Origin", "http://localhost")],
            [("Origin", "https://gprochat.com.evil.example")],
            [("Origin", "https://gprochat.com"), ("Origin", "https://gprochat.com")],
            [("Origin", "https://gprochat.com"), ("Sec-Fetch-Site", "cross-site")],
            [("Sec-Fetch-Site", "cross-site")],
            [("Sec-Fetch-Site", "same-site")],
            [("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "cross-site")],
        ],
    )
    def test_F101_pages_are_refused(self, pairs: list[tuple[str, str]]) -> None:
        """A foreign origin, and whatever a browser marks as another site's, is refused."""
        assert 403 == self.judge(("Host", "localhost"), *pairs)

    def test_F101_preflight_is_refused(self) -> None:
        """OPTIONS is refused, so that no page gets leave to ask."""
        assert 403 == self.judge(("Host", "localhost"), method="OPTIONS")

    def test_other_methods_and_paths(self) -> None:
        """There is one path, and POST is its only method."""
        assert 405 == self.judge(("Host", "localhost"), method="GET")
        assert 404 == self.judge(("Host", "localhost"), target=wire.PATH + "/")
        assert 404 == self.judge(("Host", "localhost"), target=wire.PATH + "?a=1")

    @pytest.mark.parametrize(
        ("status", "pairs"),
        [
            (413, [("Content-Length", str(wire.MAX_BODY + 1))]),
            (400, [("Content-Length", "3"), ("Transfer-Encoding", "chunked")]),
            (400, [("Content-Length", "3"), ("Content-Length", "3")]),
            (400, [("Content-Length", "-1")]),
            (400, [("Content-Length", "9" * 5000)]),
            (400, [("Transfer-Encoding", "gzip, chunked")]),
            (415, [("Content-Encoding", "gzip")]),
        ],
    )
    def test_F107_framing(self, status: int, pairs: list[tuple[str, str]]) -> None:
        """A body that is announced as too large, with two lengths, or compressed is refused."""
        assert status == self.judge(("Host", "localhost"), *pairs)

    def test_older_http_is_refused(self) -> None:
        """HTTP/1.0 has no chunks, so the end of a reply could not be proven."""
        with pytest.raises(Refused, match=r"HTTP/1\.1"):
            guard().check_head(
                "POST", wire.PATH, version=(1, 0), headers=headers(("Host", "localhost"))
            )


TURNS: Messages = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "hello"},
]


class TestTrust:
    def test_turns_count_under_the_body_signature(self) -> None:
        """Roles, model and options reach the backend when the whole body is signed."""
        request = built(TURNS, wire="turns", model="m", options={"temperature": 0})

        admitted = now(guard().admit(request.body, headers(**request.headers)))

        assert Admitted(TURNS, {"temperature": 0, "model": "m"}) == admitted

    def test_only_the_prompt_counts_under_the_protocols_signature(self) -> None:
        """Without the body signature the flattened prompt is all that reaches the backend."""
        request = built(TURNS, wire="turns", model="m", options={"temperature": 0})

        admitted = now(guard().admit(request.body, headers()))

        prompt = "System: be brief\nUser: hello\nAssistant:"
        assert Admitted([{"role": "user", "content": prompt}], {"model": ""}) == admitted

    def test_pictures_count_under_the_body_signature_alone(self) -> None:
        """A picture is not in the flattened prompt, so without the header it goes nowhere."""
        picture: Part = {"inline_data": {"mime_type": "image/png", "data": "aGk="}}
        turns: Messages = [{"role": "user", "content": [{"text": "what is it?"}, picture]}]
        request = built(turns, wire="turns", model="m")

        signed = now(guard().admit(request.body, headers(**request.headers)))
        unsigned = now(guard().admit(request.body, headers()))

        assert turns == signed.messages
        assert [{"role": "user", "content": "what is it?"}] == unsigned.messages

    def test_an_option_cannot_pose_as_the_model(self) -> None:
        """The model is the one named beside the options."""
        request = built(TURNS, wire="turns", model="m", options={"model": "other"})

        assert {"model": "m"} == now(
            guard().admit(request.body, headers(**request.headers))
        ).options

    def test_body_signature_may_be_required(self) -> None:
        """A gateway that requires the body signature refuses the protocol's own."""
        request = built()
        strict = guard(require_body_signature=True)

        assert 401 == refusal(strict.admit(request.body, headers())).status
        assert now(strict.admit(request.body, headers(**request.headers)))

    def test_a_changed_body_is_refused(self) -> None:
        """What the body signature covers cannot be changed, nor can it be given twice."""
        request = built(TURNS, wire="turns", model="m")
        name, value = wire.SIGNATURE_HEADER, request.headers[wire.SIGNATURE_HEADER]
        twice = headers((name, value), (name, value))

        changed = request.body.replace(b'"m"', b'"n"')

        assert 401 == refusal(guard().admit(changed, headers((name, value)))).status
        assert 401 == refusal(guard().admit(request.body, twice)).status

    def test_both_secrets_hold_during_rotation(self) -> None:
        """While a secret is replaced, requests under either are admitted."""
        rotating = Guard(
            unnamed(["another secret, as long as needed", SECRET]), [], now=lambda: NOW
        )

        assert now(rotating.admit(built().body, headers()))

    def test_a_secret_that_is_a_moment_old(self) -> None:
        """A signature that nobody fits is tried again under the secrets that there are by now."""
        news = [None, unnamed([SECRET])]
        changing = Guard(unnamed([OTHER_SECRET]), [], now=lambda: NOW, news=lambda: news.pop(0))

        assert 401 == refusal(changing.admit(built().body, headers())).status
        assert now(changing.admit(built().body, headers()))

    @pytest.mark.parametrize(
        "sign",
        [None, 5, "", "short", "ж" * 64, "\ud800", "0" * 64, ["0" * 64], "upper", "padded"],
    )
    def test_F103_every_wrong_sign_gets_the_same_answer(self, sign: object) -> None:
        """A sign that is wrong in any way is refused in the same words, without a date."""
        content = json.loads(built().body)
        right = content["sign"]
        content["sign"] = {"upper": right.upper(), "padded": right + " "}.get(str(sign), sign)

        refused = refusal(guard().admit(json.dumps(content).encode(), headers()))

        assert (401, "the signature does not hold", False) == (
            refused.status,
            refused.text,
            refused.dated,
        )

    def test_F103_missing_sign(self) -> None:
        """A body without a sign is refused like one with a wrong sign."""
        content = json.loads(built().body)
        del content["sign"]

        assert "the signature does not hold" == (
            refusal(guard().admit(json.dumps(content).encode(), headers())).text
        )

    def test_F104_a_sign_over_another_split_does_not_hold(self) -> None:
        """Moving the border between time and prompt does not keep a signature."""
        content = json.loads(built([{"role": "user", "content": "1:hello"}]).body)
        content["messages"][0]["parts"][0]["text"] = "hello"
        content["time"] = f"{content['time']}:1"

        assert 400 == refusal(guard().admit(json.dumps(content).encode(), headers())).status


class TestTime:
    @pytest.mark.parametrize("off", [-300, 0, 300])
    def test_F105_five_minutes_are_forgiven(self, off: int) -> None:
        """A clock that is five minutes off is near enough."""
        assert now(guard().admit(built(at=NOW + off).body, headers()))

    @pytest.mark.parametrize("off", [-301, 301])
    def test_F105_more_is_refused_with_a_date(self, off: int) -> None:
        """A clock that is further off is refused, with our time in the answer."""
        refused = refusal(guard().admit(built(at=NOW + off).body, headers()))

        assert (401, True) == (refused.status, refused.dated)

    def test_F105_replay(self) -> None:
        """The same request twice is answered once, also without its body signature."""
        request, watch = built(), guard()
        now(watch.admit(request.body, headers(**request.headers)))

        assert 409 == refusal(watch.admit(request.body, headers(**request.headers))).status
        assert 409 == refusal(watch.admit(request.body, headers())).status

    def test_F105_replay_while_its_time_is_good(self) -> None:
        """A request of a clock that is ahead is remembered until its own time is too old."""
        clock = [NOW]
        request, watch = built(at=NOW + 300), guard(now=lambda: clock[0])
        now(watch.admit(request.body, headers()))
        clock[0] += 599

        assert 409 == refusal(watch.admit(request.body, headers())).status

    def test_a_forged_request_is_no_replay(self) -> None:
        """A wrong signature is not remembered: nobody can fill the memory or learn from it."""
        nonces = MemoryNonces(now=lambda: NOW)
        watch = guard(nonces=nonces)
        body = built().body.replace(b"hello", b"hullo")

        assert [401, 401] == [refusal(watch.admit(body, headers())).status for _ in range(2)]
        assert 0 == len(nonces)

    def test_refused_when_the_memory_is_full(self) -> None:
        """A request that cannot be remembered is not served."""
        watch = guard(nonces=MemoryNonces(limit=1, now=lambda: NOW))
        now(watch.admit(built().body, headers()))

        assert 503 == refusal(watch.admit(built(at=NOW + 1).body, headers())).status

    def test_F117_equal_prompts_in_one_millisecond(self) -> None:
        """Two equal prompts in one millisecond are two requests, as client timestamps rise."""
        clock, watch = Clock(lambda: NOW), guard()
        bodies = [
            wire.build(HELLO, secret=SECRET, timestamp=clock.now("http://localhost")).body
            for _ in range(2)
        ]

        assert [HELLO, HELLO] == [now(watch.admit(body, headers())).messages for body in bodies]


class TestMemoryNonces:
    def test_kept_until_the_end_and_no_longer(self) -> None:
        """A nonce is known for as long as its request's time would be accepted, then forgotten."""
        at = [0.0]
        nonces = MemoryNonces(now=lambda: at[0])

        async def scenario() -> list[bool]:
            seen = [await nonces.add("a", 10.0), await nonces.add("a", 10.0)]
            at[0] = 10.0
            seen.append(await nonces.add("a", 10.0))
            at[0] = 10.1
            return [*seen, await nonces.add("b", 20.0)]

        assert [True, False, False, True] == asyncio.run(scenario())
        assert 1 == len(nonces)

    def test_bounded(self) -> None:
        """A full memory takes nothing more, but still knows what it has."""
        nonces = MemoryNonces(limit=1, now=lambda: 0.0)

        async def scenario() -> bool:
            await nonces.add("a", 1.0)
            with pytest.raises(NoncesUnkept):
                await nonces.add("b", 1.0)
            return await nonces.add("a", 1.0)

        assert not asyncio.run(scenario())


@pytest.mark.parametrize("weak", [[], [""], ["x" * 31], ["x" * 32 + ":"], [SECRET, ""]])
def test_F116_weak_secrets_are_refused(weak: list[str]) -> None:
    """An empty, short or ambiguous secret is refused without being repeated."""
    with pytest.raises(ConfigError) as caught:
        check(unnamed(weak))

    assert "xxx" not in str(caught.value)


def text(content: object) -> bytes:
    """JSON that may hold what JSON should not."""
    return json.dumps(content).encode()


def body(**changes: object) -> bytes:
    """A body in order but for its changes."""
    return text(json.loads(built().body) | changes)


@pytest.mark.parametrize(
    "time",
    ["1700000000000", 1.7e12, True, 0, -1, 10**14, "1700000000000:a", None, [1], 10**4000],
)
def test_F104_time_must_be_a_sound_integer(time: object) -> None:
    """A time that is not a positive whole number of milliseconds is malformed."""
    assert 400 == refusal(guard().admit(body(time=time), headers())).status


def test_F104_time_of_five_thousand_digits() -> None:
    """A number too long to be read is malformed, and no error of ours."""
    digits = b'{"time": ' + b"1" * 5000 + b"}"

    assert 400 == refusal(guard().admit(digits, headers())).status


PART = {"parts": [{"text": "hello"}]}


@pytest.mark.parametrize(
    "malformed",
    [
        b"",
        b"hello",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
        body(options={"a": float("nan")}),
        body(options={"a": float("-inf")}),
        body(options={"a": 1.5}).replace(b"1.5", b"1e999"),
        body(messages=[]),
        body(messages={"role": "user"}),
        body(messages=["hello"]),
        body(messages=[{"role": "user"}]),
        body(messages=[{"role": "user", "parts": []}]),
        body(messages=[{"role": "user", "parts": ["hello"]}]),
        body(messages=[{"role": "user", "parts": [{"text": 5}]}]),
        body(messages=[{"role": "user", "parts": [{"text": "\ud83d"}]}]),
        body(messages=[{"role": "tool", **PART}]),
        body(messages=[{"role": None, **PART}]),
        body(messages=[{"role": ["user"], **PART}]),
        body(messages=[{"role": {}, **PART}]),
        body(model=5),
        body(options=[]),
    ],
    ids=lambda malformed: repr(malformed[:40]),
)
def test_F106_malformed_bodies(malformed: bytes) -> None:
    """Whatever the protocol does not allow is answered with 400, never with an error of ours."""
    assert 400 == refusal(guard().admit(malformed, headers())).status


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3)
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "model", "system"]) | VALUES,
        "parts": st.lists(st.fixed_dictionaries({"text": st.text() | VALUES})) | VALUES,
    },
)
BODIES = st.fixed_dictionaries(
    {"time": st.integers(1, 10**14) | VALUES, "messages": st.lists(MESSAGES) | VALUES},
    optional={"sign": VALUES, "model": VALUES, "options": VALUES, "pass": VALUES},
)


@settings(max_examples=300, deadline=None)
@given(st.binary() | VALUES.map(text) | BODIES.map(text))
@example(text({"time": 1, "messages": [{"role": [], "parts": []}]}))
def test_F106_nothing_but_refusals(sent: bytes) -> None:
    """Random bodies, near the protocol or far from it, end in 400 or 401 and in nothing else."""
    assert refusal(guard().admit(sent, headers())).status in (400, 401)


@settings(max_examples=300, deadline=None)
@given(st.binary() | BODIES.map(text))
def test_F106_parse_raises_only_its_own_error(sent: bytes) -> None:
    """Reading a body gives a request that has a prompt, or `MalformedRequest`."""
    try:
        incoming = wire.parse(sent)
    except wire.MalformedRequest:
        return

    assert isinstance(incoming.prompt.encode(), bytes)
