"""Who may ask: host, origin, size, time, signature and replay, as decisions without any I/O.

The head of a request is judged before its body is read, the body before a backend is called.
Nothing that its sender did not sign reaches a backend. Every wrong signature gets one and the
same answer, whatever is wrong with it; only a clock that is off is told, and told our time.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from multidict import CIMultiDictProxy, MultiMapping

from gprochat_magic import wire
from gprochat_magic.gateway import clients as clients_
from gprochat_magic.gateway.clients import Client
from gprochat_magic.gateway.nonces import MemoryNonces, NonceStore, NoncesUnkept
from gprochat_magic.messages import Message, Messages

ORIGIN = "https://gprochat.com"
"""The one origin that the protocol's clients name. A page of that site has it, but no secret."""
SKEW = 300.0
"""Seconds that a request's time may be off."""
MAX_HEADERS = 100
_LENGTH = re.compile(r"[0-9]{1,15}")


class Refused(Exception):
    """A request that is not served: its status and words for the sender.

    `dated` says that the answer names our time, so that a client can correct its own;
    `retry_after` how many seconds it should wait, if it should.
    """

    def __init__(
        self, status: int, text: str, *, dated: bool = False, retry_after: int = 0
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.dated = dated
        self.retry_after = retry_after


@dataclass(frozen=True)
class Admitted:
    """What a sender has signed: the messages for the backend, and its options with the `model`.

    `client` is the name that goes with the secret.
    """

    messages: Messages
    options: dict[str, Any] = field(default_factory=dict)
    client: str = ""


class Guard:
    """The judge of every request that reaches a gateway.

    `clients` are those who may ask, and `news` gives others once these have changed; `hosts` are
    the exact values of `Host` that are ours, `path` the one that is served. Raises `ConfigError`
    for a secret that would not protect.
    """

    def __init__(
        self,
        clients: Sequence[Client],
        hosts: Iterable[str],
        *,
        path: str = wire.PATH,
        origins: Iterable[str] = (ORIGIN,),
        require_body_signature: bool = False,
        nonces: NonceStore | None = None,
        news: Callable[[], Sequence[Client] | None] = lambda: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.accept(clients)
        self._news = news
        self._hosts = frozenset(hosts)
        self._path = path
        self._origins = frozenset(origins)
        self._require_body_signature = require_body_signature
        self._nonces = MemoryNonces(now=now) if nonces is None else nonces
        self._now = now

    def accept(self, clients: Sequence[Client]) -> None:
        """Let these ask from now on, and nobody else. Raises `ConfigError` for a weak secret."""
        clients_.check(clients)
        self._clients = tuple(clients)

    def check_head(
        self, method: str, target: str, *, version: tuple[int, int], headers: CIMultiDictProxy[str]
    ) -> None:
        """Judge the request line and the headers. Raises `Refused`."""
        if version != (1, 1):
            # An older reply has no chunks, so its end could not be proven.
            raise Refused(505, "only HTTP/1.1 is spoken here")
        self.check_sender(method, target, headers)
        if target != self._path:
            raise Refused(404, "there is nothing here")
        if method != "POST":
            raise Refused(405, "only POST is answered")
        _check_framing(headers)

    def check_sender(self, method: str, target: str, headers: CIMultiDictProxy[str]) -> None:
        """Judge the host and whether a page of another site asks. Raises `Refused`."""
        self._check_host(target, headers.getall("Host", []))
        self._check_browser(method, headers)

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
        trust, client = self._proven(incoming, body, headers.getall(wire.SIGNATURE_HEADER, []))
        await self._remember(incoming)
        if trust == "body":
            options = {**incoming.options, "model": incoming.model}
            return Admitted(incoming.turns, options, client.name)
        # The protocol's own signature does not tell turns apart, so the model sees none either.
        prompt: Message = {"role": "user", "content": incoming.prompt}
        return Admitted([prompt], {"model": ""}, client.name)

    def _proven(
        self, incoming: wire.Incoming, body: bytes, given: Sequence[str]
    ) -> tuple[wire.Trust, Client]:
        found = self._found(incoming, body, given)
        # A client whose secret is a moment old is nobody we know yet.
        if found is None and (fresh := self._news()) is not None:
            self.accept(fresh)
            found = self._found(incoming, body, given)
        unproven = found is None or len(given) > 1
        if found is None or unproven or (found[0] == "prompt" and self._require_body_signature):
            raise Refused(401, "the signature does not hold")
        return found

    def _found(
        self, incoming: wire.Incoming, body: bytes, given: Sequence[str]
    ) -> tuple[wire.Trust, Client] | None:
        header = given[0] if given else None
        secrets = [client.secret.reveal() for client in self._clients]
        proof = wire.verify(incoming, body, header, secrets, path=self._path)
        return None if proof is None else (proof.trust, self._clients[proof.number])

    async def _remember(self, incoming: wire.Incoming) -> None:
        nonce = hashlib.sha256(incoming.signature.encode()).hexdigest()
        try:
            new = await self._nonces.add(nonce, incoming.timestamp / 1000 + SKEW)
        except NoncesUnkept as full:
            raise Refused(503, str(full), retry_after=1) from None
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
