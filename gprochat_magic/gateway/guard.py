"""Who may ask: host, origin, size, time, signature and replay, as decisions without any I/O.

The head of a request is judged before its body is read, the body before a backend is called.
Nothing that its sender did not sign reaches a backend. Every wrong signature gets one and the
same answer, whatever is wrong with it; only a clock that is off is told, and told our time.
"""

from __future__ import annotations

import hashlib
import heapq
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from multidict import CIMultiDictProxy, MultiMapping

from gprochat_magic import wire
from gprochat_magic.errors import ConfigError
from gprochat_magic.messages import Message, Messages

ORIGIN = "https://gprochat.com"
"""The one origin that the protocol's clients name. A page of that site has it, but no secret."""
SKEW = 300.0
"""Seconds that a request's time may be off."""
SECRET_LENGTH = 32
NONCES = 100_000
MAX_HEADERS = 100
_LENGTH = re.compile(r"[0-9]{1,15}")


class Refused(Exception):
    """A request that is not served: its status and words for the sender.

    `dated` says that the answer names our time, so that a client can correct its own.
    """

    def __init__(self, status: int, text: str, *, dated: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.dated = dated


class NonceStore(Protocol):
    """A memory of the signatures that were used."""

    async def add(self, nonce: str, until: float) -> bool:
        """Keep a nonce until then (seconds since the epoch); False if it is kept already.

        Raises `NonceStoreFull` when it cannot be kept: then nobody may be served.
        """
        ...


class NonceStoreFull(Exception):
    """No further nonce can be kept for now."""


class MemoryNonces:
    """The nonces of one process. It refuses when full: forgetting one would allow its replay."""

    def __init__(self, *, limit: int = NONCES, now: Callable[[], float] = time.time) -> None:
        self._limit = limit
        self._now = now
        self._kept: set[str] = set()
        self._by_end: list[tuple[float, str]] = []

    async def add(self, nonce: str, until: float) -> bool:
        """Keep a nonce; see `NonceStore.add`."""
        now = self._now()
        while self._by_end and self._by_end[0][0] < now:
            self._kept.discard(heapq.heappop(self._by_end)[1])
        if nonce in self._kept:
            return False
        if len(self._kept) >= self._limit:
            raise NonceStoreFull
        self._kept.add(nonce)
        heapq.heappush(self._by_end, (until, nonce))
        return True

    def __len__(self) -> int:
        return len(self._kept)


@dataclass(frozen=True)
class Admitted:
    """What a sender has signed: the messages for the backend, and its options with the `model`."""

    messages: Messages
    options: dict[str, Any] = field(default_factory=dict)


class Guard:
    """The judge of every request that reaches a gateway.

    `secrets` may be several while one is replaced by another; `hosts` are the exact values of
    `Host` that are ours. Raises `ConfigError` for a secret that would not protect.
    """

    def __init__(
        self,
        secrets: Sequence[str],
        hosts: Iterable[str],
        *,
        origins: Iterable[str] = (ORIGIN,),
        require_body_signature: bool = False,
        nonces: NonceStore | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        check_secrets(secrets)
        self._secrets = tuple(secrets)
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)
        self._require_body_signature = require_body_signature
        self._nonces = MemoryNonces(now=now) if nonces is None else nonces
        self._now = now

    def check_head(
        self, method: str, target: str, *, version: tuple[int, int], headers: CIMultiDictProxy[str]
    ) -> None:
        """Judge the request line and the headers. Raises `Refused`."""
        if version != (1, 1):
            # An older reply has no chunks, so its end could not be proven.
            raise Refused(505, "only HTTP/1.1 is spoken here")
        self._check_host(target, headers.getall("Host", []))
        self._check_browser(method, headers)
        if target != wire.PATH:
            raise Refused(404, "there is nothing here")
        if method != "POST":
            raise Refused(405, "only POST is answered")
        _check_framing(headers)

    def _check_host(self, target: str, hosts: Sequence[str]) -> None:
        if not target.startswith("/") or len(hosts) != 1:
            raise Refused(400, "a request names a path and one host")
        if hosts[0] not in self._hosts:
            # A page that has its own name point to this machine ends here.
            raise Refused(421, "this host is not served here")

    def _check_browser(self, method: str, headers: MultiMapping[str]) -> None:
        origins = headers.getall("Origin", [])
        sites = headers.getall("Sec-Fetch-Site", [])
        if len(origins) > 1 or not self._origins.issuperset(origins):
            raise Refused(403, "this origin may not ask")
        if not {"none", "same-origin"}.issuperset(sites) or method == "OPTIONS":
            raise Refused(403, "other sites may not ask")

    async def admit(self, body: bytes, headers: CIMultiDictProxy[str]) -> Admitted:
        """Judge the body, after `check_head`. Raises `Refused`."""
        try:
            incoming = wire.parse(body)
        except wire.MalformedRequest as error:
            raise Refused(400, str(error)) from None
        if abs(self._now() - incoming.timestamp / 1000) > SKEW:
            raise Refused(401, "the time of the request is off by over five minutes", dated=True)
        trust = self._trust(incoming, body, headers.getall(wire.SIGNATURE_HEADER, []))
        await self._remember(incoming)
        if trust == "body":
            return Admitted(incoming.turns, {**incoming.options, "model": incoming.model})
        # The protocol's own signature does not tell turns apart, so the model sees none either.
        prompt: Message = {"role": "user", "content": incoming.prompt}
        return Admitted([prompt], {"model": ""})

    def _trust(self, incoming: wire.Incoming, body: bytes, given: Sequence[str]) -> wire.Trust:
        header = given[0] if given else None
        trust = wire.verify(incoming, body, header, self._secrets)
        unproven = trust is None or len(given) > 1
        if trust is None or unproven or (trust == "prompt" and self._require_body_signature):
            raise Refused(401, "the signature does not hold")
        return trust

    async def _remember(self, incoming: wire.Incoming) -> None:
        nonce = hashlib.sha256(incoming.signature.encode()).hexdigest()
        try:
            new = await self._nonces.add(nonce, incoming.timestamp / 1000 + SKEW)
        except NonceStoreFull:
            raise Refused(503, "too many requests to remember; try again in some minutes") from None
        if not new:
            raise Refused(409, "this request was answered before")


def _check_framing(headers: MultiMapping[str]) -> None:
    if len(headers) > MAX_HEADERS:
        raise Refused(400, "too many headers")
    codings = headers.getall("Transfer-Encoding", [])
    lengths = headers.getall("Content-Length", [])
    if len(codings) + len(lengths) > 1 or not {"chunked"}.issuperset(codings):
        # Two lengths: whoever stands before us may see another request than we do.
        raise Refused(400, "a body has one length, or comes in plain chunks")
    if not all(_LENGTH.fullmatch(length) for length in lengths):
        raise Refused(400, "a length is a number")
    if not {"identity"}.issuperset(headers.getall("Content-Encoding", [])):
        raise Refused(415, "a body is not compressed")
    if any(int(length) > wire.MAX_BODY for length in lengths):
        raise Refused(413, too_large())


def too_large() -> str:
    """What the sender of a larger body is told."""
    return f"a request holds at most {wire.MAX_BODY >> 20} MiB"


def check_secrets(secrets: Sequence[str]) -> None:
    """Raise `ConfigError`, without repeating it, for a secret that anyone could forge with."""
    if not secrets:
        raise ConfigError("the gateway has no secret", hint=_HOW_TO_MAKE_ONE)
    for secret in secrets:
        if ":" in secret:
            raise ConfigError("a secret with ':' is ambiguous when signed", hint=_HOW_TO_MAKE_ONE)
        if len(secret) < SECRET_LENGTH:
            raise ConfigError(
                f"a secret has at least {SECRET_LENGTH} characters", hint=_HOW_TO_MAKE_ONE
            )


_HOW_TO_MAKE_ONE = "Make one: python -c 'import secrets; print(secrets.token_hex(32))'"
