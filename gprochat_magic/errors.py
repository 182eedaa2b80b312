"""Everything that can go wrong, each with what to do next.

    GPROChatError
    ├── ConfigError                     a setting or argument cannot work
    ├── ConversationBusyError           a send from inside a reply of the same conversation
    ├── ConnectError                    no connection was made
    │   ├── ConnectTimeout              nobody picked up in time
    │   ├── TLSVerificationError        the server's certificate is not to be trusted
    │   └── ProxyError                  the proxy refused
    ├── ProtocolError                   the answer is not what the protocol allows
    │   ├── RedirectRefusedError        the server pointed elsewhere
    │   ├── UnexpectedContentError      a page or an error object instead of a reply
    │   └── EmptyReplyError             a success without any text
    ├── StatusError                     the server said no
    │   ├── BadRequestError             the request itself is refused
    │   ├── AuthError                   signature or rights are refused
    │   ├── RateLimitError              too many requests
    │   └── ServerError                 the server failed
    ├── FirstTokenTimeout               no byte of the reply came in time
    ├── DeadlineExceeded                the whole reply took too long
    ├── ReplyTooLargeError              the reply passed the size limit
    ├── ReplyFormatError                the reply does not hold what was asked for
    └── StreamInterruptedError          the reply broke off
        └── IdleTimeout                 the reply fell silent

`ReplyInterrupted` stands apart, and `MapInterrupted` with it: the user's own interrupt.
No error holds headers, a query, proxy credentials, a signature or the secret.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class GPROChatError(Exception):
    """Anything this package can raise. In a notebook it shows as two lines.

    Attributes: `message` and `hint` (what happened, what to do), `kind` (a short stable word),
    `status` (HTTP, where the server spoke), `retryable`, `attempts` (requests made),
    `retry_after` (seconds, where the server named them), `request_id`, and `partial`
    (the text that had arrived).
    """

    kind = "error"
    hint = "Run %gprochat doctor to see what is set up."
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        kind: str | None = None,
        status: int | None = None,
        retryable: bool | None = None,
        attempts: int = 0,
        retry_after: float | None = None,
        request_id: str | None = None,
        partial: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = type(self).hint if hint is None else hint
        self.kind = type(self).kind if kind is None else kind
        self.status = status
        self.retryable = type(self).retryable if retryable is None else retryable
        self.attempts = attempts
        self.retry_after = retry_after
        self.request_id = request_id
        self.partial = partial

    def _render_traceback_(self) -> list[str]:
        """Two lines for IPython in place of a traceback through our frames."""
        return [f"{type(self).__name__}: {self.message}", f"  → {self.hint}"]

    def __reduce__(self) -> tuple[Callable[..., GPROChatError], tuple[Any, ...]]:
        facts = {name: value for name, value in vars(self).items() if name in _FACTS}
        return _rebuild, (type(self), self.message, facts)


_FACTS = frozenset(
    {"hint", "kind", "status", "retryable", "attempts", "retry_after", "request_id", "partial"}
)


def _rebuild(cls: type[GPROChatError], message: str, facts: dict[str, Any]) -> GPROChatError:
    return cls(message, **facts)


class ConfigError(GPROChatError):
    """A setting or argument cannot work; nothing was sent."""

    kind = "config"
    hint = "Correct the setting; %config GPROChatMagics lists them all."


class ConversationBusyError(GPROChatError):
    """A send from inside a reply of the same conversation would wait for itself."""

    kind = "busy"
    hint = "Send it after this reply has ended, or in another conversation."


class ConnectError(GPROChatError):
    """No connection was made, so nothing was asked."""

    kind = "connect"
    hint = "Is the server running, and is GPROCHAT_API_ENDPOINT right?"
    retryable = True


class ConnectTimeout(ConnectError, TimeoutError):
    """Nobody picked up within `connect_timeout`."""

    kind = "connect_timeout"
    hint = "Check the address and the network, or raise connect_timeout."


class TLSVerificationError(ConnectError):
    """The server's certificate could not be trusted; nothing was sent."""

    kind = "tls"
    hint = "Mend the certificate, or pass ssl_context= with the authority that signed it."
    retryable = False


class ProxyError(ConnectError):
    """The proxy could not be used."""

    kind = "proxy"
    hint = "Check GPROCHAT_PROXY or --proxy, its user and its password."


class ProtocolError(GPROChatError):
    """The answer breaks HTTP or our protocol."""

    kind = "protocol"
    hint = "Is something else answering at this address?"


class RedirectRefusedError(ProtocolError):
    """The server pointed elsewhere; a signed prompt does not follow."""

    kind = "redirect"
    hint = "Set GPROCHAT_API_ENDPOINT to the final address."


class UnexpectedContentError(ProtocolError):
    """A web page or an error object came where a reply should be."""

    kind = "content"
    hint = "Is this address the API, and not a login page or a proxy?"


class EmptyReplyError(ProtocolError):
    """The server reported success and sent no text."""

    kind = "empty"
    hint = "Send it again, or ask differently."


class StatusError(GPROChatError):
    """The server answered with an error status."""

    kind = "status"
    hint = "The server's words are above."


class BadRequestError(StatusError):
    """The request itself is refused; sending it again will not help."""

    kind = "bad_request"
    hint = "Change the prompt or its options."


class AuthError(StatusError):
    """The signature or the right to ask is refused."""

    kind = "auth"
    hint = "Set GPROCHAT_SECRET_KEY to this server's secret before starting the kernel."


class RateLimitError(StatusError):
    """Too many requests, and the wait is longer than a cell should take."""

    kind = "rate_limit"
    hint = "Wait, then run it again."
    retryable = True


class ServerError(StatusError):
    """The server failed, also when asked again."""

    kind = "server"
    hint = "Try again later; the prompt is kept."
    retryable = True


class FirstTokenTimeout(GPROChatError, TimeoutError):
    """No byte of the reply came within `first_byte_timeout`."""

    kind = "first_token"
    hint = "Try again, or raise first_byte_timeout for a model that thinks long."


class DeadlineExceeded(GPROChatError, TimeoutError):
    """The whole reply took longer than `timeout`; the text so far is kept."""

    kind = "deadline"
    hint = "Raise timeout (--timeout SECONDS), or ask for less."


class ReplyTooLargeError(GPROChatError):
    """The reply passed the size limit; the text up to it is kept."""

    kind = "too_large"
    hint = "Ask for a shorter reply."


class ReplyFormatError(GPROChatError, ValueError):
    """The reply came whole and does not hold what was asked for; its text is kept."""

    kind = "format"
    hint = "Send it again, or ask for that alone; the text is in the conversation."


class StreamInterruptedError(GPROChatError):
    """The reply broke off before its end; the text so far is kept."""

    kind = "interrupted"
    hint = "Run it again; it was not asked again by itself, so nothing is doubled."


class IdleTimeout(StreamInterruptedError, TimeoutError):
    """The reply fell silent for `idle_timeout`; the text so far is kept."""

    kind = "idle"
    hint = "Run it again, or raise idle_timeout."


class ReplyInterrupted(KeyboardInterrupt):
    """The user stopped a reply. A KeyboardInterrupt, so that "Run all" stops too."""

    def _render_traceback_(self) -> list[str]:
        return ["Stopped. The text so far is kept in the conversation."]


class MapInterrupted(ReplyInterrupted):
    """The user stopped a map. `done` of `total` rows are kept."""

    hint = "Run the cell again to go on: only what is missing is asked."

    def __init__(self, done: int = 0, total: int = 0) -> None:
        self.done, self.total = done, total
        self.message = f"Stopped. {done:,} of {total:,} rows are done and kept."
        super().__init__(self.message)

    def _render_traceback_(self) -> list[str]:
        return [self.message, f"  → {self.hint}"]

    def __reduce__(self) -> tuple[type[MapInterrupted], tuple[int, int]]:
        return MapInterrupted, (self.done, self.total)
