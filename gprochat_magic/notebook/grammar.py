"""Flags and the shape of a line: one table feeds the parser, the help and completion.

Flags end at the first word that is none; the rest of the line is the prompt, as typed: it is never
split with shell rules, so an apostrophe is no error. `--` says that a prompt follows.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import functools
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser

from gprochat_magic.errors import ConfigError
from gprochat_magic.notebook import formats, insertion, values
from gprochat_magic.notebook.shapes import Flag as Flag
from gprochat_magic.notebook.shapes import Row as Row
from gprochat_magic.notebook.shapes import Shape as Shape
from gprochat_magic.notebook.shapes import in_columns

FLAGS = (
    Flag(("-m", "--model"), "the model to ask", "MODEL", values.name, completes="model"),
    Flag(("-s", "--system"), "instructions for the model, in quotes", "SYSTEM"),
    Flag(
        ("-f", "--format"),
        "how the reply is shown (default markdown)",
        "FORMAT",
        choices=formats.NAMES,
    ),
    Flag(
        ("--insert",),
        "where -f code puts it (default below)",
        "WHERE",
        choices=insertion.WAYS,
    ),
    Flag(("-o", "--output"), "also keep the reply in this variable", "VAR", values.variable),
    Flag(("-q", "--quiet"), "show nothing"),
    Flag(
        ("-c", "--conversation"),
        "send it there instead; it must exist",
        "NAME",
        values.name,
        completes="conversation",
    ),
    Flag(("--new",), "begin a conversation first, called as -c says"),
    Flag(("-n", "--turns"), "how many earlier turns go along", "TURNS|all", values.turns),
    Flag(
        ("--no-history",),
        "send no earlier turn and keep nothing",
        excludes=("turns", "new", "conversation"),
    ),
    Flag(
        ("-x", "--context"),
        "put data before the prompt, again for more: a variable, In[3], In[3:5], Out[3], Err[3], "
        "last, notebook, vars, file:PATH",
        "CONTEXT",
        completes="context",
        repeat=True,
    ),
    Flag(
        ("-i", "--image"),
        "a picture to go along, again for more: a file, or a variable that holds one",
        "IMAGE",
        completes="picture",
        repeat=True,
    ),
    Flag(
        ("-t", "--temperature"),
        "how freely the model writes, 0 to 2",
        "TEMPERATURE",
        values.temperature,
    ),
    Flag(("--max-tokens",), "the longest reply, in tokens", "N", values.count),
    Flag(
        ("-p", "--parameter"),
        "a further parameter for the model; VALUE is JSON, or text where it is none",
        "KEY=VALUE",
        values.parameter,
        completes="parameter",
        repeat=True,
    ),
    Flag(
        ("--cache",),
        "the reply to the same request, where one is kept; else keep this one",
        excludes=("refresh", "no-history"),
    ),
    Flag(("--refresh",), "ask anew, and keep this reply for --cache", excludes=("no-history",)),
    Flag(
        ("--bg",),
        "go on in the background: the output grows while other cells run",
        excludes=("quiet", "dry-run"),
    ),
    Flag(
        ("--dry-run",),
        "print the request that would be sent, and send and keep nothing (so that flags about the "
        "reply have nothing to do)",
    ),
    Flag(("--raw",), "leave braces alone"),
    Flag(("--strict",), "refuse a prompt with a {name} that does not resolve", excludes=("raw",)),
    Flag(("--timeout",), "seconds for the whole reply", "SECONDS", values.seconds),
    Flag(("--proxy",), "an http proxy for a configured endpoint", "URL", values.proxy),
)
BY_NAME = {name: flag for flag in FLAGS for name in flag.names}
NUMBERED = r"-{1,2}[A-Za-z].*|\d*"
"""What fits behind a subcommand that takes flags of a prompt and a number."""


@dataclass(frozen=True)
class Line:
    """What was typed: a subcommand with its argument, or options and a prompt."""

    command: str
    text: str
    options: argparse.Namespace


def parse(line: str, cell: str | None, commands: Collection[Shape]) -> Line:
    """Read what follows the magic. Raises `UsageError` in one line, and then nothing is sent."""
    if command := _command(line.strip(), cell, commands):
        return command
    options, text = flags_of(line)
    prompt = text if cell is None else "\n".join(filter(None, [text, cell.rstrip("\n")]))
    return Line("", prompt, options)


def flags_of(line: str) -> tuple[argparse.Namespace, str]:
    """The options at the start of a line and the text behind them. Raises `UsageError`."""
    arguments, text = _flags(line, BY_NAME, [])
    options = _parser(FLAGS).parse_args(arguments)
    for flag in FLAGS:
        for other in flag.excludes:
            if given(options, flag.dest) and given(options, other.replace("-", "_")):
                raise UsageError(f"{flag.names[-1]} and --{other} contradict each other")
    options.parameters = values.parameters(options)
    return options, text


def begins_prompt(line: str) -> bool:
    """Whether more than flags stands in a line, so that no flag can follow."""
    try:
        return bool(_flags(line, BY_NAME, [])[1])
    except UsageError:
        return False  # whatever is wrong with the flags so far, they are flags


def words_of(line: str, flags: tuple[Flag, ...]) -> tuple[argparse.Namespace, list[str]]:
    """The options anywhere in a line, of a table, and its other words. Raises `UsageError`."""
    by_name = {name: flag for flag in flags for name in flag.names}
    words: list[str] = []
    met: list[Flag] = []
    arguments, line = _flags(line, by_name, met)
    while word := _WORD.match(line):
        words.append(word[1])
        more, line = _flags(line[word.end() :], by_name, met)
        arguments += more
    return _parser(flags).parse_args(arguments), words


def flags_for(command: str, line: str, allowed: Collection[str]) -> tuple[argparse.Namespace, str]:
    """A subcommand's options and its number, as text. Raises `UsageError` for any other."""
    options, number = flags_of(line)
    for flag in FLAGS:
        if given(options, flag.dest) and flag.dest not in allowed:
            raise UsageError(f"{command} takes no {flag.names[-1]}")
    if number and not number.isdecimal():
        raise UsageError(f"{command} takes a number, not {number!r}; nothing was sent")
    return options, number


@contextlib.contextmanager
def in_one_line() -> Iterator[None]:
    """Tell of a value that cannot work as of any other slip in a line: in one, by `UsageError`."""
    try:
        yield
    except ConfigError as error:
        raise UsageError(f"{error.message}. {error.hint}".strip()) from None


def given(options: argparse.Namespace, name: str) -> bool:
    """Whether a flag was typed."""
    value = getattr(options, name)
    return value is not None and value is not False


def _command(line: str, cell: str | None, commands: Collection[Shape]) -> Line | None:
    first, _, rest = line.partition(" ")
    none = _parser(FLAGS).parse_args([])
    for shape in commands:
        if first != shape.name:
            continue
        if cell is None and shape.fits(rest.strip()):
            return Line(first, rest.strip(), none)
        if cell is not None and shape.cell and shape.cell.fullmatch(rest.strip()):
            return Line(first, f"{rest.strip()}\n{cell}", none)
    if cell is not None:
        return None
    names = {shape.name: shape for shape in commands if shape.name}
    if first in names and not rest:
        raise UsageError(f"{first} needs more: {names[first].usage} (-- {first} asks)")
    if first and not rest:
        # One word so close to a subcommand is a slip, not a question to a model.
        for near in difflib.get_close_matches(first, names, 1, cutoff=0.75):
            raise UsageError(
                f"no subcommand {first!r}; did you mean %gprochat {near}? (-- {first} asks)"
            )
    return None


# A quote begins a text at the start of a word, and behind = : or [; elsewhere it is an apostrophe.
_WORD = re.compile(rf"\s*((?:(?<![^\s=:\[])(?:{values.QUOTED})|\S)+)", re.DOTALL)


def _flags(line: str, by_name: Mapping[str, Flag], met: list[Flag]) -> tuple[list[str], str]:
    """The flags at the start of a line as arguments, and the text behind them as typed."""
    arguments: list[str] = []
    while (word := _WORD.match(line)) and word[1].startswith("-"):
        name, equals, value = word[1].partition("=")
        if name == "--":
            return arguments, line[word.end() :].strip()
        if not re.match(r"--?[^\W\d]", name):
            break  # a dash, a number or an arrow begins a prompt
        flag = by_name.get(name)
        if flag is None:
            raise UsageError(_unknown(name, by_name))
        line = line[word.end() :]
        if flag.metavar and not equals:
            word = _WORD.match(line)
            if word is None:
                raise UsageError(f"{name} needs a value: {flag.spelling}")
            value, line = word[1], line[word.end() :]
        elif equals and not flag.metavar:
            raise UsageError(f"{name} takes no value")
        if flag in met and not flag.repeat:
            raise UsageError(f"{name} is given twice, and only one of them can count")
        met.append(flag)
        if value[:1] in ("'", '"') and values.unquoted(value) == value:
            raise UsageError(f"{name}: the quotes of its value do not match")
        value = values.unquoted(value)
        arguments.append(f"{flag.names[-1]}={value}" if flag.metavar else flag.names[-1])
    return arguments, line.strip()


def _unknown(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else "%gprochat help lists the flags."
    return f"no flag {name}; {hint} (Put -- before a prompt that begins so.)"


@functools.cache
def _parser(flags: tuple[Flag, ...]) -> MagicArgumentParser:
    parser = MagicArgumentParser("%gprochat", add_help=False)  # type: ignore[no-untyped-call]
    for flag in flags:
        if flag.metavar:
            parser.add_argument(
                *flag.names,
                dest=flag.dest,
                type=flag.type,
                choices=flag.choices or None,
                action="append" if flag.repeat else "store",
            )
        else:
            parser.add_argument(*flag.names, dest=flag.dest, action="store_true")
    return parser


def overview(commands: Collection[Shape]) -> str:
    """The whole help: every form, flag and subcommand."""
    flags = "\n".join(map(row_of, FLAGS))
    rows = "\n".join(in_columns(shape.usage, shape.help, width=34) for shape in commands)
    return (
        "%%gprochat [flags]         the cell is the prompt\n"
        "%gprochat [flags] TEXT     one line is the prompt\n"
        "reply = %gprochat TEXT     keep the reply\n\n"
        f"Flags come first; -- ends them:\n{flags}\n\nSubcommands:\n{rows}\n\n"
        '{name}, {obj.attr}, {df["a"]}, {In[3]}, {x:.2f} are replaced where they resolve;\n'
        "any other braces are sent as typed. {{name}} is a literal {name}."
    )


def flags_behind(shape: Shape) -> tuple[Flag, ...]:
    """The flags of a subcommand: its own, or those of a prompt that its argument names."""
    if shape.flags or "[FLAGS]" in shape.argument:
        return shape.flags or FLAGS
    words = re.findall(r"-[-\w]+", shape.argument)
    return tuple(BY_NAME[word] for word in words if word in BY_NAME)


def row_of(flag: Flag) -> str:
    """What help says of a flag."""
    choices = f": {'|'.join(flag.choices)}" if flag.choices else ""
    return in_columns(flag.spelling, flag.help + choices, width=30)
