"""The signed protocol as pure functions: sign, build, parse, verify.

Client and gateway meet here and nowhere else. Nothing here does I/O.
Two signatures exist. The protocol's own, `sign`, covers time and prompt. The body signature,
a header, covers method, path and every byte of the body; only under it do structured turns,
a model and options count.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, NoReturn

from gprochat_magic.errors import BadRequestError
from gprochat_magic.messages import (
    Message,
    Messages,
    Part,
    TextPart,
    format_prompt,
    images_of,
    text_of,
)
from gprochat_magic.tail import HEADER, WANTED
from gprochat_magic.version import __version__

PATH = "/api/generate"
SIGNATURE_HEADER = "x-gprochat-signature"
REQUEST_ID_HEADER = "x-request-id"
SPEAKER_HEADER = "x-gprochat-speaker"
"""Set to `backend` where the words of an error are those of the model's own server."""
MODEL_HEADER = "x-gprochat-model"
"""The model that answers, as its own server calls it."""
RETRY_HEADER = "x-should-retry"
"""`false` where asking again cannot help; OpenAI's servers and clients know it by this name too."""
USER_AGENT = f"gprochat-magic/{__version__}"
MAX_BODY = 4 * 1024 * 1024
"""The largest request body, in bytes, that client and gateway accept."""
MAX_REPLY = 8 * 1024 * 1024
"""The largest reply, in bytes, that a client reads."""
MAX_TIME = 10**14
"""An upper bound on a timestamp in milliseconds; it keeps its digits few."""

Wire = Literal["flat", "turns"]
Trust = Literal["body", "prompt"]


class MalformedRequest(ValueError):
    """A request body that the protocol does not allow. The text may be shown to the sender."""


def sign(timestamp: int, message: str, secret: str) -> str:
    """The protocol's signature: hex SHA-256 of `{timestamp}:{message}:{secret}` in UTF-8."""
    return hashlib.sha256(f"{timestamp}:{message}:{secret}".encode()).hexdigest()


def sign_body(
    timestamp: int, body: bytes, secret: str, *, method: str = "POST", path: str = PATH
) -> str:
    """The body signature, `v1=` and a hex HMAC-SHA256 over time, method, path and body hash."""
    return _sealed(_covered(timestamp, body, method, path), secret)


def _covered(timestamp: int, body: bytes, method: str, path: str) -> bytes:
    return f"{timestamp}\n{method}\n{path}\n{hashlib.sha256(body).hexdigest()}".encode()


def _sealed(covered: bytes, secret: str) -> str:
    return "v1=" + hmac.new(secret.encode(), covered, hashlib.sha256).hexdigest()


def same(given: str, expected: str) -> bool:
    """Whether two signatures are equal, in constant time, whatever characters were given."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


@dataclass(frozen=True)
class Outgoing:
    """A signed request, ready to be posted. `signatures` are those that it carries."""

    body: bytes = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    timestamp: int
    signatures: tuple[str, str] = field(repr=False)


def build(
    messages: Sequence[Message],
    *,
    secret: str,
    timestamp: int,
    wire: Wire = "flat",
    model: str = "",
    options: Mapping[str, Any] | None = None,
    url: str = "https://gprochat.com",
    path: str = PATH,
    request_id: str = "",
) -> Outgoing:
    """Sign messages as of `timestamp` (ms). `flat` is the protocol itself; `turns` keeps roles.

    Raises `BadRequestError` when the body would pass `MAX_BODY` or could not be read as JSON.
    """
    if wire == "flat" and any(images_of(message) for message in messages):
        raise BadRequestError(
            "the flat wire carries one text and no pictures", hint="Set wire to turns."
        )
    prompt = format_prompt(messages)
    signature = sign(timestamp, prompt, secret)
    more: dict[str, str] = {}
    content: dict[str, Any] = {
        "messages": [{"role": "user", "parts": [{"text": prompt}]}],
        "time": timestamp,
        "pass": None,
        "sign": signature,
    }
    if wire == "turns":
        content["messages"] = [
            {
                "role": _TO_WIRE[message["role"]],
                "parts": [{"text": text_of(message)}, *images_of(message)],
            }
            for message in messages
        ]
        content |= {"model": model, "options": dict(options or {})}
        more = {HEADER: WANTED}
    body = _encoded(content)
    body_signature = sign_body(timestamp, body, secret, path=path)
    headers = {
        "accept": "*/*",
        "accept-encoding": "identity",
        "origin": url,
        "referer": f"{url}/",
        "user-agent": USER_AGENT,
        "content-type": "text/plain;charset=UTF-8",
        SIGNATURE_HEADER: body_signature,
        **more,
    }
    if request_id:
        headers[REQUEST_ID_HEADER] = request_id
    return Outgoing(body, headers, timestamp, (signature, body_signature))


def preview(
    messages: Sequence[Message],
    *,
    wire: Wire = "flat",
    model: str = "",
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The body that `build` makes of the same, `****` for its time and signature.

    Raises what `build` raises.
    """
    made = build(messages, secret="", timestamp=1, wire=wire, model=model, options=options)
    content: dict[str, Any] = json.loads(made.body)
    return {**content, "time": "****", "sign": "****"}


def _encoded(content: dict[str, Any]) -> bytes:
    try:
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        body = text.encode()
    except (TypeError, ValueError, RecursionError):
        raise BadRequestError("the model or its options hold what JSON cannot") from None
    if len(body) > MAX_BODY:
        size, most = len(body) / 2**20, MAX_BODY >> 20
        raise BadRequestError(
            f"the prompt is {size:.1f} MiB; a request holds at most {most} MiB",
            hint="Send less text, or fewer earlier turns (-n).",
        )
    return body


_TO_WIRE = {"user": "user", "assistant": "model", "system": "system"}
_FROM_WIRE = {wire: role for role, wire in _TO_WIRE.items()}


@dataclass(frozen=True)
class Incoming:
    """A parsed request. Until `verify` says yes, nothing in it is to be believed."""

    timestamp: int
    signature: str = field(repr=False)
    turns: Messages = field(default_factory=list)
    model: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """The one prompt that the protocol's own signature covers."""
        return format_prompt(self.turns)


def parse(body: bytes) -> Incoming:
    """Read a request body strictly. Raises `MalformedRequest` for whatever is not the protocol."""
    try:
        content = json.loads(body.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise MalformedRequest("the body is not JSON in UTF-8") from None
    if not isinstance(content, dict):
        raise MalformedRequest("the body is not an object")
    timestamp, signature = content.get("time"), content.get("sign")
    if type(timestamp) is not int or not 0 < timestamp < MAX_TIME:
        raise MalformedRequest("time must be milliseconds since the epoch, a whole number")
    messages = content.get("messages")
    if not isinstance(messages, list) or not messages:
        raise MalformedRequest("messages must be a list with at least one message")
    model, options = content.get("model", ""), content.get("options", {})
    if not isinstance(model, str) or not isinstance(options, dict):
        raise MalformedRequest("model must be text and options an object")
    turns = [_turn(message) for message in messages]
    # A signature of the wrong type is as wrong as any other: the guard answers both alike.
    return Incoming(
        timestamp, signature if isinstance(signature, str) else "", turns, model, options
    )


def _turn(message: object) -> Message:
    role = message.get("role") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(role, str) or role not in _FROM_WIRE:
        raise MalformedRequest("a message must have the role user, model or system")
    parts = message.get("parts")
    if not isinstance(parts, list) or not parts:
        raise MalformedRequest("a message must have parts")
    known = [_part(part) for part in parts]
    text = "".join(part["text"] for part in known if "inline_data" not in part)
    images = [part for part in known if "inline_data" in part]
    content = [TextPart(text=text), *images] if images else text
    return {"role": _FROM_WIRE[role], "content": content}


def _part(part: object) -> Part:
    text = part.get("text") if isinstance(part, dict) else None
    if isinstance(text, str):
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise MalformedRequest("the text holds half a character")
        return {"text": text}
    inline = part.get("inline_data") if isinstance(part, dict) else None
    kind, data = (str(inline.get(key, "")) if isinstance(inline, dict) else "" for key in _INLINE)
    if _IMAGE.fullmatch(kind) and _BASE64.fullmatch(data):
        return {"inline_data": {"mime_type": kind, "data": data}}
    raise MalformedRequest("a part must have a text, or a picture in base64")


_INLINE = ("mime_type", "data")
_IMAGE = re.compile(r"image/(png|jpeg|gif|webp)")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    # 1e999 would be infinite here and no JSON where it is sent on.
    return number if math.isfinite(number) else _no_constant(digits)


def is_model(name: str) -> bool:
    """Whether a model's name is one that a header can carry and people can read."""
    return 0 < len(name) <= 200 and name.isascii() and name.isprintable()


class Proof(NamedTuple):
    """What a sender has proven, the whole body or the flattened prompt, and by which secret."""

    trust: Trust
    number: int


def verify(
    incoming: Incoming, body: bytes, header: str | None, secrets: Sequence[str], *, path: str = PATH
) -> Proof | None:
    """What the sender has proven, if anything; a wrong body signature (`header`) proves nothing.

    Every secret is tried, whether or not an earlier one fits, so that time tells nothing.
    """
    # What all secrets have in common is hashed once: a team has many of them.
    begun = hashlib.sha256(f"{incoming.timestamp}:{incoming.prompt}:".encode())
    covered = _covered(incoming.timestamp, body, "POST", path)
    found: Proof | None = None
    for number, secret in enumerate(secrets):
        signed = begun.copy()
        signed.update(secret.encode())
        fits = same(incoming.signature, signed.hexdigest())
        if header is not None:
            fits &= same(header, _sealed(covered, secret))
        if fits and found is None:
            found = Proof("prompt" if header is None else "body", number)
    return found
