"""Figures for Prometheus, on a port of their own: they name clients, which is not everybody's.

Needs the extra `metrics`. The registry is ours, so that nothing of the host's gets in.
"""

from __future__ import annotations

import asyncio

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gprochat_magic import wire
from gprochat_magic.gateway import place as places
from gprochat_magic.gateway.record import Record

PATH = "/metrics"
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_STRANGER = "-"


class Metrics:
    """The figures of one gateway, and the small server that tells them.

    Requests by client, status and ending; bytes of replies by client; seconds until the first
    text and until the end.
    """

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        labels = ["client", "status", "ending"]
        self._requests = Counter("gprochat_requests", "Requests.", labels, registry=registry)
        self._bytes = Counter(
            "gprochat_reply_bytes", "Bytes of replies.", ["client"], registry=registry
        )
        self._first = Histogram(
            "gprochat_first_text_seconds",
            "Seconds until the first text of a reply.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._whole = Histogram(
            "gprochat_reply_seconds", "Seconds of a reply.", buckets=_SECONDS, registry=registry
        )
        self._draining = Gauge(
            "gprochat_draining", "1 while new requests are refused.", registry=registry
        )
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None
        self._hosts: frozenset[str] = frozenset()
        self._place: places.Place | None = None

    def __call__(self, record: Record) -> None:
        """Count a request that is over."""
        client = record.client or _STRANGER
        self._requests.labels(client, str(record.status), record.ending).inc()
        self._bytes.labels(client).inc(record.size)
        if record.first:
            self._first.observe(record.first)
            self._whole.observe(record.seconds)

    def drain(self) -> None:
        """New requests are refused from now on."""
        self._draining.set(1)

    async def listen(self, port: int) -> str:
        """Tell them on this port of 127.0.0.1; returns the address.

        Raises `ConfigError` for a port that cannot be had.
        """
        self._place = places.tcp(places.LOOPBACK, port)
        self._hosts = self._place.hosts
        self._server = web.Server(self._tell, access_log=None, lingering_time=1.0)
        self._listener = await self._place.listen(self._server)
        return self._place.endpoint.removesuffix(wire.PATH) + PATH

    async def close(self) -> None:
        """Stop telling."""
        if self._listener is None or self._server is None or self._place is None:
            return
        self._listener.close()
        await self._server.shutdown(timeout=0.1)
        self._place.leave()

    async def _tell(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = request.headers
        # A page that has its own name point to this machine gets nothing, nor does any other page.
        strange = headers.get("Host") not in self._hosts or "Origin" in headers
        if strange or headers.get("Sec-Fetch-Site", "none") != "none":
            return web.Response(status=403)
        if request.raw_path != PATH or request.method != "GET":
            return web.Response(status=404)
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )
