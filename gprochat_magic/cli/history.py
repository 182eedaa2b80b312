"""`gprochat history`: the conversations that are kept, to list, read, search and export."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from gprochat_magic import conversations, listing
from gprochat_magic.cli import numbers
from gprochat_magic.conversations import Conversations


def arguments(command: argparse.ArgumentParser) -> None:
    """What may follow the command."""
    actions = command.add_subparsers(metavar="ACTION")
    command.set_defaults(what=_list)
    show = actions.add_parser("show", help="the turns of a conversation, or the last N")
    show.add_argument("name")
    show.add_argument("last", nargs="?", type=numbers.whole, metavar="N")
    show.set_defaults(what=_show)
    search = actions.add_parser("search", help="find turns by their words, in every conversation")
    search.add_argument("text", nargs="+")
    search.set_defaults(what=_search)
    export = actions.add_parser("export", help="write a conversation as .md, .json or .ipynb")
    export.add_argument("name")
    export.add_argument("file", type=Path)
    export.add_argument("--force", action="store_true", help="replace a file that is there")
    export.set_defaults(what=_export)


def run(given: argparse.Namespace, fail: Callable[[str], object]) -> int:
    """Print what is asked for. Raises `ConfigError` for what there is not."""
    try:
        sys.stdout.write(given.what(conversations.shared(), given) + "\n")
        sys.stdout.flush()
    finally:
        conversations.close()
    return 0


def _list(home: Conversations, given: argparse.Namespace) -> str:
    return listing.conversations(home.summaries())


def _show(home: Conversations, given: argparse.Namespace) -> str:
    return listing.history(home.open(given.name).conversation, given.last)


def _search(home: Conversations, given: argparse.Namespace) -> str:
    text = " ".join(given.text)
    return listing.hits(home.search(text), text)


def _export(home: Conversations, given: argparse.Namespace) -> str:
    from gprochat_magic import transcript  # brings nbformat, which only this needs

    found = home.open(given.name).conversation
    return transcript.export(found, given.file, replace=given.force)
