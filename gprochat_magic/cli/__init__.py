"""The command line: `gprochat serve`, `ask` and `history`.

An error is two lines on stderr and exit code 1, a wrong argument exit code 2, a stop by Ctrl-C 130.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from gprochat_magic.cli import ask, history, serve
from gprochat_magic.errors import GPROChatError
from gprochat_magic.version import __version__

COMMANDS: tuple[tuple[str, ModuleType, str], ...] = (
    ("serve", serve, "run a signed gateway for a team"),
    ("ask", ask, "ask a model; the reply streams to stdout"),
    ("history", history, "the conversations that are kept"),
)
"""Each command, the module with its `arguments` and its `run`, and what it does."""
INTERRUPTED = 130
BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is what comes out."""
    _forgive_unknown_characters()
    given = _parser().parse_args(arguments)
    try:
        code: int = given.run(given, given.fail)
    except GPROChatError as error:
        sys.stderr.write("\n".join(error._render_traceback_()) + "\n")
        return 1
    except KeyboardInterrupt as stop:
        render = getattr(stop, "_render_traceback_", lambda: ["Stopped."])
        sys.stderr.write("\n" + "\n".join(render()) + "\n")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough. Python would complain at its own end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return code


def _forgive_unknown_characters() -> None:
    # A pipe's encoding may know few characters: such a one costs a mark, not the reply.
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "gprochat",
        description="Talk to a language model, or serve one to a team.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gprochat-magic {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, module, about in COMMANDS:
        # No abbreviations: what looks like --secret must not become the name of a file.
        command = commands.add_parser(
            name, help=about, description=about.capitalize() + ".", allow_abbrev=False
        )
        module.arguments(command)
        command.set_defaults(run=module.run, fail=command.error)
    return parser
