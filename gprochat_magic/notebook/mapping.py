"""The subcommand `map`: a prompt over data, as a line, or as a cell whose body is the template."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from gprochat_magic.notebook import grammar, values
from gprochat_magic.notebook.grammar import BY_NAME, Flag, Row, Shape
from gprochat_magic.notebook.prompt import resolve

if TYPE_CHECKING:
    from gprochat_magic.notebook.magics import GPROChatMagics


FLAGS = (
    Flag(("-c", "--concurrency"), "how many requests at a time (default 8)", "N", values.count),
    Flag(("--per-minute",), "how many requests may begin in a minute", "N", values.above_zero),
    Flag(
        ("--limit",), "a trial: only so many rows, and what the rest would take", "N", values.count
    ),
    Flag(
        ("-f", "--format"),
        "text, or json: the keys of each reply as columns",
        "FORMAT",
        choices=("text", "json"),
    ),
    BY_NAME["-o"],
    Flag(
        ("--col",),
        "give the frame with the answers in a column of that name",
        "NAME",
    ),
    Flag(("--refresh",), "ask anew what was answered before"),
    Flag(
        ("--client",),
        "a variable with a Dask client, whose workers ask",
        "VAR",
        completes="variable",
    ),
    *(BY_NAME[name] for name in ("-m", "-s", "-t", "--max-tokens", "-p", "--timeout")),
    Flag(("-q", "--quiet"), "show no progress"),
)
_TERMS = ("concurrency", "per_minute", "limit")
_OPTIONS = ("model", "system", "timeout")


def _map(magics: GPROChatMagics, argument: str) -> Any:
    head, is_cell, body = argument.partition("\n")
    options, words = grammar.words_of(head, FLAGS)
    template, name = _cell(words, body) if is_cell else _line(words)
    namespace = magics.shell.user_ns
    how: dict[str, Any] = {
        word: found
        for word in (*_TERMS, *_OPTIONS)
        if (found := getattr(options, word)) is not None
    }
    if options.client:
        how["client"] = _found(options.client, namespace)
    with grammar.in_one_line():
        answers = magics.chat().map(
            template,
            _found(name, namespace),
            into=options.format or "text",
            column=options.col or "",
            cache=not options.refresh,
            progress=not options.quiet,
            parameters=values.parameters(options),
            **how,
        )
    if not options.output:
        return answers
    namespace[options.output] = answers
    return None


def _line(words: list[str]) -> tuple[str, str]:
    template = values.unquoted(words[0]) if len(words) == 2 else ""
    if not template or template == words[0]:
        raise UsageError(
            f'{_SHAPE.usage}: a template in quotes and then the data, such as "Classify {{text}}" '
            "df; nothing was sent (-- before it asks)"
        )
    return template, words[1]


def _cell(words: list[str], body: str) -> tuple[str, str]:
    if len(words) != 1 or not body.strip():
        raise UsageError(
            "%%gprochat map DATA [FLAGS]: the data in the first line, the template below; nothing "
            "was sent"
        )
    return body.rstrip("\n"), words[0]


def _found(name: str, namespace: dict[str, Any]) -> Any:
    try:
        return resolve(name, namespace)
    except LookupError:
        raise UsageError(
            f"nothing is called {name}: DATA is a variable, so give what is computed a name first; "
            "nothing was sent"
        ) from None


_DATA = rf"[^\W\d]\w*(?:\.\w+|\[(?:{values.QUOTED}|[^\]\s]*)\])*"
_FLAGS_BEHIND = rf"{_DATA}(?:\s+-.*)?"
_SHAPE = Shape(
    "map",
    '[FLAGS] "TEMPLATE" DATA',
    rf"|[-\"'].*|{_FLAGS_BEHIND}",
    "a prompt for each row of a list, Series or frame, {column} its values; as %%gprochat map DATA "
    "the cell is the template",
    completes="variable",
    cell=re.compile(rf"|-.*|{_FLAGS_BEHIND}"),
    flags=FLAGS,
    shown=True,
)
ROWS: tuple[Row, ...] = ((_SHAPE, _map),)
