"""What a server's answer means when it is not a reply, and what aiohttp's errors mean, as ours.

Words of the server are shown as plain text, at most 2 kB, without control characters, and without
the secret or the signature should the server repeat them.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import aiohttp

from gprochat_magic import wire
from gprochat_magic.errors import (
    AuthError,
    BadRequestError,
    ConfigError,
    ConnectError,
    ConnectTimeout,
    GPROChatError,
    ProtocolError,
    ProxyError,
    RateLimitError,
    RedirectRefusedError,
    ServerError,
    TLSVerificationError,
    UnexpectedContentError,
)
from gprochat_magic.messages import well_formed
from gprochat_magic.retry import retry_after

MOST_WORDS = 2048
"""How much of an error body is kept, in bytes."""
SKEW = 295.0
"""Seconds between a refused timestamp and the server's clock from which the clock is to blame."""

_AGAIN = frozenset({408, 500, 502, 503, 504, 529})


def words(body: bytes, hide: Iterable[str] = ()) -> str:
    """An error body as text fit to be shown: a page is its title, an error object its message."""
    text = body.decode("utf-8", "replace").strip()
    if text.startswith("{"):
        text = _message(text) or text
    elif text.startswith("<"):
        title = re.search(r"<title[^>]*>(.*?)</title", text, re.IGNORECASE | re.DOTALL)
        text = html.unescape(title.group(1)).strip() if title else "a web page"
    # Before the cut, which could leave half a secret.
    for secret in filter(None, hide):
        text = text.replace(secret, "****")
    text = well_formed(text).encode()[:MOST_WORDS].decode("utf-8", "ignore")
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text).split())


def _message(text: str) -> str:
    """The message of a JSON error object, wherever the common APIs put it; else nothing."""
    value = _object(text)
    for key in ("error", "detail", "message"):
        said = value.get(key)
        if isinstance(said, dict):
            said = said.get("message") or json.dumps(said, ensure_ascii=False)
        if isinstance(said, str) and said:
            return said
    return ""


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def is_error_object(body: bytes) -> bool:
    """Whether a JSON object that came with a success status tells of an error."""
    text = body.decode("utf-8", "replace")
    value = _object(text)
    return bool((value.get("error") or value.get("detail")) and _message(text))


def refused(status: int, headers: Mapping[str, str], said: str) -> GPROChatError:
    """The error for a status that is not a success. `said` is the server's words."""
    if headers.get(wire.SPEAKER_HEADER) == "backend" and said:
        # The gateway passes on what a model's server said: its secret is not the one to look at.
        told, hint = said, _BACKENDS_WORDS
    else:
        told, hint = f"the server answered {status}" + (f": {said}" if said else ""), None
    wait, final = retry_after(headers), headers.get(wire.RETRY_HEADER) == "false"
    if status < 200:
        return ProtocolError(f"the server answered {status}, which is not an answer", status=status)
    if status < 400:
        return RedirectRefusedError(
            f"the server answered {status} and points elsewhere", status=status
        )
    if status == 407:
        return ProxyError(
            "the proxy wants another user and password (407)", status=407, retryable=False
        )
    if status in (401, 403):
        return AuthError(told, status=status, hint=hint and _BACKENDS_KEY)
    if status == 409:
        return BadRequestError(told, status=status, kind="replay", retryable=True)
    if status == 429:
        hint = hint if final else _wait_hint(wait)
        return RateLimitError(told, status=status, retry_after=wait, retryable=not final, hint=hint)
    if status in _AGAIN or status >= 500:
        again = status in _AGAIN and not final
        return ServerError(told, status=status, retry_after=wait, retryable=again, hint=hint)
    return BadRequestError(told, status=status, hint=hint)


_BACKENDS_WORDS = "That is what the backend says; %gprochat backend names another."
_BACKENDS_KEY = (
    "That is what the backend says; for the embedded gateway %gprochat key asks its key."
)


def _wait_hint(wait: float | None) -> str | None:
    return f"Wait {wait:.0f} s, then run it again." if wait and math.isfinite(wait) else None


def skewed() -> AuthError:
    """The error for a timestamp that was refused because two clocks disagree."""
    return AuthError(
        "this computer's clock and the server's are minutes apart (401)",
        status=401,
        kind="skew",
        retryable=True,
        hint="Set the clock of this computer.",
    )


def wrong_content(what: str, said: str) -> UnexpectedContentError:
    """The error for a success that carries no reply but `what`."""
    return UnexpectedContentError(
        f"the server sent {what} in place of a reply" + (f": {said}" if said else "")
    )


def connect_failure(error: Exception, where: str, *, proxied: bool = False) -> GPROChatError:
    """Our error for one of aiohttp's that came before the answer. `where` names host and port.

    aiohttp's own texts hold raw headers and whole URLs, so none of them is repeated. The order
    matters: aiohttp derives several of these from one another.
    """
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return TLSVerificationError(f"the certificate of {error.host} cannot be trusted")
    if isinstance(error, aiohttp.ClientSSLError):
        return ConnectError(
            f"no TLS with {where}", kind="tls_handshake", hint=_HTTP, retryable=False
        )
    if isinstance(error, aiohttp.ClientHttpProxyError):
        if error.status == 407:
            return refused(407, {}, "")
        return ProxyError(
            f"the proxy answered {error.status}", status=error.status, retryable=False
        )
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError)):
        return _unconnected(error, where, proxied)
    if isinstance(error, ValueError):
        return ConfigError("the address is not one that can be posted to")
    if isinstance(error, (aiohttp.ServerDisconnectedError, OSError)):
        return ConnectError(f"{where} hung up before it answered", kind="disconnected")
    return ProtocolError(f"{where} does not answer as HTTP says")


def _unconnected(error: Exception, where: str, proxied: bool) -> ConnectError:
    if proxied:
        return ProxyError("the proxy does not answer")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return ConnectError(f"no address is known for {where}", kind="dns")
    if isinstance(error, aiohttp.ServerTimeoutError):
        return ConnectTimeout(f"{where} did not pick up", hint=_SLOW)
    return ConnectError(f"no connection to {where}")


_HTTP = "Is this server http, not https?"
_SLOW = f"Check the address and the network, or raise connect_timeout. {_HTTP}"
