"""The subcommands: a row each, with what is typed, what help says, and what it does."""

from __future__ import annotations

import asyncio
import platform
import sys
import textwrap
from importlib import metadata
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.display import display

from gprochat_magic import config, engine
from gprochat_magic.conversation import estimate_tokens
from gprochat_magic.notebook import (
    backends,
    control,
    costs,
    grammar,
    mapping,
    preview,
    repair,
    threads,
    waiting,
)
from gprochat_magic.notebook.grammar import Shape

if TYPE_CHECKING:
    from gprochat_magic.notebook.magics import GPROChatMagics


def run(magics: GPROChatMagics, name: str, argument: str) -> Any:
    """Do what a subcommand says: the reply of one that sends; what another says is printed."""
    outcome: Any = _ROWS[name][1](magics, argument)
    if not isinstance(outcome, str):
        return outcome
    lines = [*filter(None, [outcome]), *magics.conversations().notices()]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return None


def told(magics: GPROChatMagics, name: str, argument: str) -> str:
    """What a subcommand of `SAYING` says."""
    return "\n".join([str(_ROWS[name][1](magics, argument)), *magics.conversations().notices()])


def _panel(magics: GPROChatMagics, argument: str) -> str:
    from gprochat_magic.notebook.panel import ChatPanel  # brings the widgets, as loading must not

    display(ChatPanel(ui=argument))  # type: ignore[no-untyped-call]
    is_terminal = getattr(magics.shell, "kernel", None) is None
    return "A panel needs a notebook; here, %gprochat TEXT asks." if is_terminal else ""


def _status(magics: GPROChatMagics, argument: str) -> str:
    home = magics.conversations()
    turns = home.current.conversation.line()
    tokens = sum(estimate_tokens(turn.prompt) + estimate_tokens(turn.reply) for turn in turns)
    embedded = f"{magics.backend}, behind the embedded gateway"
    return _table(
        {
            "model": backends.model_in_force(magics) or "the backend's own",
            "backend": config.host_of(magics.api_endpoint) or embedded,
            "conversation": f"{home.name_of(home.current)}: {len(turns)} turns, ~{tokens} tokens",
            **_left_before(magics),
            **_changed(magics),
        }
    )


def _left_before(magics: GPROChatMagics) -> dict[str, str]:
    """The conversation that this notebook had before its kernel was started anew."""
    before = magics.conversations().left_before()
    return (
        {"before": f"{before.name}: {before.turns} turns; %gprochat use continues it"}
        if before
        else {}
    )


def _changed(magics: GPROChatMagics) -> dict[str, str]:
    """The settings that differ from their defaults."""
    return {
        name: f"{value!r}"
        for name, trait in sorted(type(magics).class_own_settings().items())
        if (value := getattr(magics, name)) != trait.default() and name not in ("model", "backend")
    }


def _help(magics: GPROChatMagics, argument: str) -> str:
    if not argument:
        return grammar.overview(SHAPES)
    for shape in SHAPES:
        if shape.name == argument:
            about = textwrap.indent(textwrap.fill(shape.help, 96), "  ")
            return "\n".join(
                [shape.usage, about, *map(grammar.row_of, grammar.flags_behind(shape))]
            )
    raise UsageError(f"no subcommand {argument!r}; %gprochat help lists them")


def _doctor(magics: GPROChatMagics, argument: str) -> str:
    return _table(
        {
            "python": f"{platform.python_version()} on {platform.system()}",
            **{name: _version(name) for name in _PACKAGES},
            "front end": type(magics.shell).__name__,
            "kernel's loop": _loop(),
            "asyncio patched": f"by {by}" if (by := waiting.patched()) else "no",
            "wait": waiting.described(magics.wait),
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


_OWN: tuple[grammar.Row, ...] = (
    (Shape("", "", "", "what is in force: model, backend, conversation, settings"), _status),
    (Shape("doctor", "", "", "what is installed and running, and whether it works"), _doctor),
    (
        Shape(
            "help", "[SUBCOMMAND]", r"\w*", "this text, or one subcommand's", completes="subcommand"
        ),
        _help,
    ),
    (
        Shape(
            "panel", "[basic]", r"(basic)?", "a chat in this cell's output; basic: plain widgets"
        ),
        _panel,
    ),
)
_ALL = (
    *_OWN,
    *repair.ROWS,
    *threads.ROWS,
    *preview.ROWS,
    *backends.ROWS,
    *control.ROWS,
    *costs.ROWS,
    *mapping.ROWS,
)
_ROWS = {shape.name: (shape, action) for shape, action in _ALL}
SHOWN = frozenset(shape.name for shape, _ in _ALL if shape.shown)
"""The subcommands whose value the shell displays."""
SHAPES = tuple(shape for shape, _ in _ROWS.values())
_OF_A_CELL = frozenset(
    {"", "panel", "doctor", "fix", "explain", "insert", "key", "map", "retry", "edit"}
)
SAYING = tuple(shape for shape in SHAPES if shape.name not in _OF_A_CELL)
"""The subcommands that only say something, so that a panel can run them: the others send, show a
display of their own, ask for what is typed unseen, or put code into a cell."""
