"""What a model's server says when it says no, as errors that a reader can act on.

The server's words are kept, without the key; its status too, unless the reader's side would take
it for the gateway's own.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from gprochat_magic import refusal, wire
from gprochat_magic.config import Secret
from gprochat_magic.gateway.backends import BackendError
from gprochat_magic.retry import retry_after

_GATEWAYS_OWN = frozenset({407, 409})
"""Between a client and its gateway these mean a proxy's password and a repeated request."""
_PASSES = frozenset({408, 425, 429})
"""Refusals that may be over in a moment; those of 500 and above are not a refusal at all."""
_LASTING = frozenset(
    {
        *("insufficient_quota", "billing_error", "authentication_error", "permission_error"),
        *("invalid_request_error", "not_found_error", "model_not_found", "invalid_api_key"),
    }
)
"""What servers call errors that asking again does not mend, as the `type` or `code` of an error."""
_DELAY = re.compile(r"(\d+(?:\.\d+)?)s")


def refused(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    where: str,
    key: Secret,
    advice: str = "",
) -> BackendError:
    """The error for an answer that is no success; `advice` follows the server's words."""
    if 300 <= status < 400:
        told = f"{where} answered {status} and points elsewhere; {_ADDRESS}"
        return BackendError(502, told, final=True)
    value = _object(body)
    said = refusal.words(body if value is None else _plain(value), [key.reveal()])
    told = f"{where} answered {status}" + (f": {said}" if said else "")
    wait = _finite(retry_after(headers)) or _delay_in(value)
    told = f"{told}; {advice}" if advice else told
    passes = status in _PASSES or 500 <= status <= 599
    final = not passes or headers.get(wire.RETRY_HEADER) == "false" or _lasts(value)
    return BackendError(told_status(status), told, wait, final=final)


def error_in(value: Mapping[str, Any], *, where: str, key: Secret) -> BackendError | None:
    """The error that a JSON object of an answer tells of, if it does."""
    error = value.get("error")
    if not error:
        return None
    said = refusal.words(_plain(value), [key.reveal()])
    status = told_status(error.get("code") if isinstance(error, dict) else None)
    told = f"{where} failed: {said}"
    return BackendError(status, told, _delay_in(value), final=_lasts(value))


def told_status(given: object) -> int:
    """The status for a reader: the server's own where it is one of an error, else 502."""
    if isinstance(given, int) and 400 <= given <= 599 and given not in _GATEWAYS_OWN:
        return given
    return 502


def _object(body: bytes) -> Mapping[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and value:
        # Google's streams are lists, also when all they hold is an error.
        value = value[0]
    return value if isinstance(value, dict) else None


def _plain(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def _lasts(value: Mapping[str, Any] | None) -> bool:
    error = value.get("error") if value else None
    kinds = (error.get("type"), error.get("code")) if isinstance(error, dict) else ()
    return any(isinstance(kind, str) and kind in _LASTING for kind in kinds)


def _delay_in(value: Mapping[str, Any] | None) -> float | None:
    """The wait that Google puts into the details of an error."""
    error = value.get("error") if value else None
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and (found := _DELAY.fullmatch(delay)):
            return _finite(float(found.group(1)))
    return None


def _finite(seconds: float | None) -> float | None:
    return seconds if seconds and math.isfinite(seconds) else None


_ADDRESS = "is its address right?"
