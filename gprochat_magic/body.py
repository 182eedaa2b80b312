"""The bytes of an answer: what its headers say of them, and reading them.

Invariants: nothing is decompressed; a body that breaks off still yields all that had arrived.
"""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from gprochat_magic.errors import StreamInterruptedError
from gprochat_magic.tail import HEADER

FOREIGN = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError)
"""What aiohttp and the sockets below it raise."""

BEGINNING = 64 * 1024
"""How many bytes are gathered, at most, to tell what an answer is."""
GATHERING = 5.0
"""Seconds that gathering them may take; an answer can be told by less."""


class Body:
    """The body of one response. `first` holds what was read of it while it was judged."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._content = response.content
        self.first = b""

    @property
    def coded(self) -> bool:
        """Whether the bytes are compressed, by the one header or the other."""
        content = self._codings("Content-Encoding") - {"identity"}
        return bool(content or self._codings("Transfer-Encoding") - {"identity", "chunked"})

    @property
    def framed(self) -> bool:
        """Whether the end can be told from a connection that was cut."""
        return "Content-Length" in self._response.headers or "chunked" in self._codings(
            "Transfer-Encoding"
        )

    @property
    def tailed(self) -> bool:
        """Whether something may come behind the text."""
        return HEADER in self._response.headers

    def _codings(self, header: str) -> set[str]:
        values = ",".join(self._response.headers.getall(header, ()))
        return {coding.strip().lower() for coding in values.split(",")} - {""}

    async def read(self) -> bytes:
        """The next bytes, as soon as there are any; none at the end.

        Raises `StreamInterruptedError` where the body broke off.
        """
        if data := self.ready():
            return data
        try:
            return await self._content.readany()
        except FOREIGN:
            return self._left()

    def ready(self) -> bytes:
        """What can be read without waiting; raises as `read` does."""
        try:
            return self._content.read_nowait()
        except FOREIGN:
            return self._left()

    def _left(self) -> bytes:
        # aiohttp keeps what had arrived behind its error, where no public method reads it.
        if left := self._content._read_nowait(-1):
            return left
        raise StreamInterruptedError("the reply broke off before its end") from None

    async def gather(self) -> bytes:
        """Read on into `first`, enough to say what it is; a body that breaks off is as good."""
        with contextlib.suppress(StreamInterruptedError, TimeoutError):
            async with asyncio.timeout(GATHERING):
                while len(self.first) < BEGINNING and (data := await self.read()):
                    self.first += data
        return self.first

    def close(self) -> None:
        """Close the connection, unless a whole body was read and it is back in the pool."""
        self._response.close()
