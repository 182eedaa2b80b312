"""The subcommands: a row each, with what is typed, what help says, and what it does."""

from __future__ import annotations

import asyncio
import platform
import sys
from collections.abc import Callable
from importlib import metadata
from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from gprochat_magic import config, engine, markdown
from gprochat_magic.conversation import Turn, estimate_tokens
from gprochat_magic.notebook import grammar
from gprochat_magic.notebook.grammar import Shape

if TYPE_CHECKING:
    from gprochat_magic.notebook.magics import GPROChatMagics


def run(magics: GPROChatMagics, name: str, argument: str) -> None:
    """Do what a subcommand says, and print what it has to say."""
    sys.stdout.write(_ROWS[name][1](magics, argument) + "\n")


def _status(magics: GPROChatMagics, argument: str) -> str:
    conversation = magics.chat().conversation
    turns = conversation.line()
    tokens = sum(estimate_tokens(turn.prompt) + estimate_tokens(turn.reply) for turn in turns)
    embedded = f"{magics.backend}, behind the embedded gateway"
    return _table(
        {
            "model": magics.model,
            "backend": config.host_of(magics.api_endpoint) or embedded,
            "conversation": f"{conversation.name}: {len(turns)} turns, ~{tokens} tokens",
            **_changed(magics),
        }
    )


def _changed(magics: GPROChatMagics) -> dict[str, str]:
    """The settings that differ from their defaults."""
    return {
        name: f"{value!r}"
        for name, trait in sorted(type(magics).class_own_settings().items())
        if (value := getattr(magics, name)) != trait.default() and name not in ("model", "backend")
    }


def _history(magics: GPROChatMagics, argument: str) -> str:
    turns = magics.chat().conversation.line()
    if not turns:
        return "No turns yet."
    first = max(0, len(turns) - int(argument)) if argument else 0
    return "\n".join(_told(number, turn) for number, turn in enumerate(turns, 1) if number > first)


def _told(number: int, turn: Turn) -> str:
    reply = markdown.plain(turn.reply) if turn.reply else f"({turn.error or 'no reply'})"
    state = "" if turn.state == "complete" else f"  [{turn.state}]"
    asked = "\n".join(f"  > {line}" for line in markdown.plain(turn.prompt).splitlines())
    return f"{number}{state}\n{asked}\n" + "\n".join(f"    {line}" for line in reply.splitlines())


def _reset(magics: GPROChatMagics, argument: str) -> str:
    conversation = magics.chat().conversation
    count = conversation.clear()
    return f"{conversation.name}: {count} turns left behind; the next prompt starts anew."


def _help(magics: GPROChatMagics, argument: str) -> str:
    if not argument:
        return grammar.overview(SHAPES)
    for shape in SHAPES:
        if shape.name == argument:
            return f"{shape.usage}\n  {shape.help}"
    raise UsageError(f"no subcommand {argument!r}; %gprochat help lists them")


def _doctor(magics: GPROChatMagics, argument: str) -> str:
    return _table(
        {
            "python": f"{platform.python_version()} on {platform.system()}",
            **{name: _version(name) for name in _PACKAGES},
            "front end": type(magics.shell).__name__,
            "kernel's loop": _loop(),
            "asyncio patched": _patches(),
            "secret key": "set" if magics.secret_key else "made for this process",
            "endpoint": config.host_of(magics.api_endpoint) or "embedded gateway",
            "a test prompt": _probe(magics),
        }
    )


_PACKAGES = ("gprochat-magic", "ipython", "ipykernel", "aiohttp", "ipywidgets", "anywidget")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _loop() -> str:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return "none runs in this thread"
    return f"{type(loop).__module__}.{type(loop).__qualname__}"


def _patches() -> str:
    """Who has replaced parts of asyncio in this process: not us, but it explains much."""
    if not hasattr(asyncio, "_nest_patched"):
        return "no"
    return "by nest_asyncio2" if hasattr(asyncio, "_nest_asyncio2") else "by nest_asyncio"


def _probe(magics: GPROChatMagics) -> str:
    """Ask the embedded demo for a word; a configured service is not asked, since it may cost."""
    if magics.api_endpoint:
        return "not sent: the endpoint is configured, and asking it may cost"
    reply = magics.chat().ask_blocking("help", history=False, timeout=10)
    return f"answered in {reply.elapsed * 1000:.0f} ms, signed; engine {_alive()}"


def _alive() -> str:
    return "running" if engine.shared().running else "stopped"


def _table(rows: dict[str, str]) -> str:
    width = max(map(len, rows)) + 2
    return "\n".join(f"{name:<{width}}{value}" for name, value in rows.items())


Action = Callable[["GPROChatMagics", str], str]
_ROWS: dict[str, tuple[Shape, Action]] = {
    shape.name: (shape, action)
    for shape, action in (
        (Shape("", "", "", "what is in force: model, backend, conversation, settings"), _status),
        (Shape("history", "[N]", r"\d*", "the turns so far, or the last N"), _history),
        (Shape("reset", "", "", "start the conversation anew; earlier turns stay in it"), _reset),
        (Shape("doctor", "", "", "what is installed and running, and whether it works"), _doctor),
        (Shape("help", "[SUBCOMMAND]", r"\w*", "this text, or one subcommand's"), _help),
    )
}
SHAPES = tuple(shape for shape, _ in _ROWS.values())
