"""`gprochat serve`: a signed gateway for a team."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from gprochat_magic import config
from gprochat_magic.cli import numbers
from gprochat_magic.config import Secret
from gprochat_magic.errors import ConfigError
from gprochat_magic.hosts import is_sound

PORT = 8711
"""Where it listens unless it is told otherwise."""
STORE_VARIABLE = "GPROCHAT_REDIS_URL"

_KEYS = ("GPROCHAT_BACKEND_KEY", "OPENAI_API_KEY")

Fail = Callable[[str], object]


def arguments(command: argparse.ArgumentParser) -> None:
    """What may follow the command."""
    hub, prefix = _from_hub()
    add = command.add_argument
    add("--backend", default="demo", help="demo, PROVIDER, PROVIDER/MODEL or a URL")
    add("--model", default="", help="the model to ask, where --backend names none")
    add("--base-url", default="", metavar="URL", help="a server that speaks chat completions")
    add("--host", default=hub[0], help="the address to listen on (%(default)s)")
    where = command.add_mutually_exclusive_group()
    where.add_argument("--port", type=numbers.port, default=hub[1], help="the port (%(default)s)")
    where.add_argument("--socket", default="", metavar="PATH", help="a Unix socket in its place")
    add("--prefix", default=prefix, metavar="PATH", help="a path before /api/generate")
    add(
        "--allowed-host",
        action="append",
        default=[],
        metavar="H",
        help="a name of it; again for more",
    )
    add("--secrets-file", type=Path, metavar="FILE", help="name:secret lines, readable by you only")
    add("--requests-per-minute", type=numbers.whole, default=0, metavar="N", help="of each client")
    add(
        "--concurrent",
        type=numbers.whole,
        default=0,
        metavar="N",
        help="replies at a time of each client, for each replica",
    )
    add(
        "--queue",
        type=numbers.count,
        default=0,
        metavar="N",
        help="more of them that may wait (%(default)s)",
    )
    add("--require-body-signature", action="store_true", help="refuse the older signature")
    add("--access-log", action=argparse.BooleanOptionalAction, default=True, help="on stdout")
    add("--metrics", type=numbers.port, metavar="PORT", help="figures for Prometheus, on 127.0.0.1")
    add("--redis", default="", metavar="URL", help=f"shared by replicas; or {STORE_VARIABLE}")
    add(
        "--drain",
        type=numbers.whole,
        default=30,
        metavar="SECONDS",
        help="for running replies at the end",
    )


def run(given: argparse.Namespace, fail: Fail) -> int:
    """Serve until a signal ends it. Raises `ConfigError` for what keeps it from starting."""
    import asyncio

    from gprochat_magic.gateway import service  # brings aiohttp

    _check(given, fail)
    plan = service.Plan(
        backend=_backend(given, fail),
        key=_key(given),
        host=given.host,
        port=given.port,
        socket=given.socket,
        prefix=_prefix(given.prefix, fail),
        hosts=given.allowed_host,
        secret=config.Settings().secret_key,
        secrets_file=given.secrets_file,
        require_body_signature=given.require_body_signature,
        requests_per_minute=given.requests_per_minute,
        concurrent=given.concurrent,
        queue=given.queue,
        access_log=given.access_log,
        metrics=given.metrics,
        store=Secret(given.redis or os.environ.get(STORE_VARIABLE, "")),
        drain=given.drain,
    )
    asyncio.run(service.serve(plan, _say))
    return 0


def _check(given: argparse.Namespace, fail: Fail) -> None:
    if config.has_password(given.redis):
        raise ConfigError(
            "a password on the command line can be seen by others",
            hint=f"Set {STORE_VARIABLE} to that address instead.",
        )
    if given.queue and not given.concurrent:
        fail("--queue: nobody waits without --concurrent")
    if given.socket and given.host != _from_hub()[0][0]:
        fail("--host: a --socket has none")
    for name in given.allowed_host:
        if not is_sound(name) or set(name) & set("/@ "):
            fail(f"--allowed-host: {name!r} is no name like gate.example, or gate.example:8711")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _backend(given: argparse.Namespace, fail: Fail) -> str:
    """The backend as `%gprochat backend` names it."""
    name, model = given.backend, given.model
    if given.base_url:
        if name not in ("demo", "openai"):
            fail("--base-url goes with --backend openai, whose protocol such a server speaks")
        name = given.base_url
    if name == "gemini":
        model = model or config.DEFAULT_MODEL  # one of its own
    if not model:
        return str(name)
    if name == "demo":
        fail("--model: the demo has no models; name a --backend")
    is_url = "://" in name
    if ("#" if is_url else "/") in name:
        fail("--model: --backend names one already")
    return f"{name}#{model}" if is_url else f"{name}/{model}"


def _key(given: argparse.Namespace) -> Secret:
    """The key for a server that was said to stand in for OpenAI; others look for their own."""
    if not given.base_url or given.backend != "openai":
        return Secret()
    found = (os.environ.get(variable, "").strip() for variable in _KEYS)
    return Secret(next(filter(None, found), ""))


def _prefix(text: str, fail: Fail) -> str:
    prefix = text.rstrip("/")
    if prefix and (not prefix.startswith("/") or not prefix.isascii() or set(prefix) & set(" ?#%")):
        fail(f"--prefix: {text!r} is no path like /services/gprochat")
    return prefix


def _from_hub() -> tuple[tuple[str, int], str]:
    """Host, port and prefix: those a JupyterHub gave to its service, else our own."""
    parts = urlsplit(os.environ.get("JUPYTERHUB_SERVICE_URL", ""))
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "")
    if parts.hostname and parts.port:
        return (parts.hostname, parts.port), prefix
    return ("127.0.0.1", PORT), prefix
