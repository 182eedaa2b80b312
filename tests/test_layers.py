"""Which room may know which: the table, and the proof that the code keeps to it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gprochat_magic

ROOT = Path(gprochat_magic.__file__).parent
DOOR = "gprochat_magic"

FLOORS: list[set[str]] = [
    {"errors", "version", "terminal", "links", "masking", "describers", "hosts", "tail", "decoder"},
    {"secret"},
    {"fields", "messages", "clock", "limits", "retry", "config", "presses"},
    {"stream", "formulas", "highlight"},
    {"wire", "album", "engine", "tally", "markup", "target", "body"},
    {"conversation"},
    {"line", "refusal"},
    {"markdown", "attempt", "gateway", "store"},
    {"reply", "transport", "embedded", "conversations", "transcript", "listing"},
    {"provider", "caching"},
    {"draft"},
    {"sending"},
    {"batch"},
    {"chat"},
    {"notebook", "cli"},
    {"__main__"},
    {DOOR},
]
"""The rooms from the ground up: an import points to a lower floor, or stays in its room."""

STRANGERS = [("transport", "gateway"), ("attempt", "gateway"), ("target", "gateway")]
"""Client and gateway never meet but in `wire`."""

OUTSIDE = {
    "IPython": {"notebook", DOOR},
    "ipykernel": set[str](),
    "ipywidgets": {"notebook"},
    "anywidget": {"notebook"},
    "nest_asyncio": set[str](),
    "nest_asyncio2": {"notebook"},
    "aiohttp": {"target", "body", "refusal", "attempt", "transport", "gateway"},
    "yarl": {"transport"},
    "multidict": {"gateway"},
    "sqlite3": {"store"},
    "nbformat": {"transcript"},
    "platformdirs": {"conversations"},
    "traitlets": {"config", "notebook"},
    "markdown_it": {"markup", "formulas"},
    "nh3": {"markup"},
    "pygments": {"highlight"},
    "tenacity": {"retry"},
    "psutil": {"store", "notebook"},
    "signal": {"presses", "gateway"},
    "prometheus_client": {"gateway"},
    "redis": {"gateway"},
    "distributed": {"batch"},
    "tqdm": {"batch"},
    "pandas": set[str](),
    "polars": set[str](),
    "numpy": set[str](),
    "PIL": set[str](),
    "matplotlib": set[str](),
}
"""Packages that only some rooms know. What is not listed here is free."""

LATE = {
    (DOOR, "notebook"): "outside a shell the shell's part is of no use",
    ("gateway.backends.anyllm", "any_llm"): "an extra, and slow to import",
    ("gateway.backends.keys", "keyring"): "an extra, and slow to import",
    ("gateway.service", "gateway.metrics"): "its package is an extra",
    ("gateway.service", "gateway.team"): "its package is an extra",
    ("cli.serve", "asyncio"): "slow to import, and not every command needs it",
    ("cli.serve", "gateway.service"): "brings aiohttp, which not every command needs",
    ("cli.history", "transcript"): "brings nbformat, which only an export needs",
    ("cli.ask", "chat"): "brings aiohttp, which not every command needs",
    ("cli.ask", "conversations"): "brings SQLite, which not every command needs",
    ("cli.ask", "sending"): "brings aiohttp, which not every command needs",
    ("markdown", "markup"): "brings the parser, which loading must not",
    ("notebook.magics", "chat"): "brings aiohttp, which loading must not",
    ("notebook", "conversations"): "brings SQLite, which loading must not",
    ("notebook.magics", "conversations"): "brings SQLite, which loading must not",
    ("notebook.control", "draft"): "brings aiohttp, which loading must not",
    ("notebook.backends", "chat"): "brings aiohttp, which loading must not",
    ("notebook.backends", "embedded"): "brings aiohttp, which loading must not",
    ("notebook.backends", "gateway.backends"): "brings aiohttp, which loading must not",
    ("notebook.backends", "provider"): "brings aiohttp, which loading must not",
    ("notebook.costs", "caching"): "brings aiohttp, which loading must not",
    ("notebook.choices", "provider"): "brings aiohttp, which loading must not",
    ("notebook.choices", "gateway.backends"): "brings aiohttp, which loading must not",
    ("notebook.waiting", "nest_asyncio2"): "patches asyncio, which only its user may choose",
    ("notebook.threads", "transcript"): "brings nbformat, which loading must not",
    ("batch.plan", "batch.cluster"): "of no use without a cluster",
    ("batch.run", "batch.cluster"): "of no use without a cluster",
    ("batch.errand", "distributed"): "an extra",
    ("batch.progress", "tqdm.auto"): "looks for a notebook as it is imported",
    ("notebook.commands", "notebook.panel"): "brings the widgets, which loading must not",
    ("store.process", "psutil"): "only where there is no /proc",
    ("store.recovery", "fcntl"): "only where there is one",
    ("notebook.magics", "notebook.asking"): "brings aiohttp, which loading must not",
    ("notebook.magics", "notebook.waiting"): "brings asyncio, which loading must not",
    ("notebook.magics", "notebook.commands"): "many modules, which only help needs",
    ("notebook.magics", "notebook.grammar"): "many modules, which only help needs",
    ("notebook.completion", "notebook.offers"): "many modules, which only Tab needs",
    ("notebook.failures", "notebook.evidence"): "only a cell that fails needs it",
    ("notebook", "engine"): "brings asyncio, which loading must not",
}
"""Imports inside functions, each with its reason."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the package by its dotted name below it, parsed."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        yield name or DOOR, ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.Module, *, late: bool) -> Iterator[str]:
    """What a module imports at its top, or inside its functions; hints for types do not count."""
    for node, deep in _walk(tree, deep=False):
        if deep != late:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from whole if _is_room(whole[0]) else [str(node.module)]


def _walk(node: ast.AST, *, deep: bool) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        inside = deep or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
        yield child, deep
        yield from _walk(child, deep=inside)


def _is_room(dotted: str) -> bool:
    path = ROOT.parent.joinpath(*dotted.split("."))
    return dotted.startswith(DOOR) and (path.with_suffix(".py").exists() or path.is_dir())


def room(dotted: str) -> str:
    """The room of one of our modules: its first part below the package."""
    below = dotted.removeprefix(f"{DOOR}.")
    return below.split(".")[0]


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


EDGES = [
    (module, wanted)
    for module, tree in modules()
    for late in (False, True)
    for wanted in imports(tree, late=late)
]


def test_every_room_is_on_a_floor() -> None:
    """A new room has to be put into the table."""
    on_disk = {room(name) for name, _ in modules()}

    assert on_disk <= set().union(*FLOORS)


@pytest.mark.parametrize(("module", "wanted"), [edge for edge in EDGES if edge[1].startswith(DOOR)])
def test_imports_point_downward(module: str, wanted: str) -> None:
    """No room knows one above it, or beside it on its floor."""
    here, there = room(module), room(wanted)

    assert here == there or floor(here) > floor(there)


@pytest.mark.parametrize(("one", "other"), STRANGERS)
def test_client_and_gateway_never_import_each_other(one: str, other: str) -> None:
    """They meet in `wire` only, also by way of others."""
    assert other not in _reached(one)
    assert one not in _reached(other)


def _reached(start: str) -> set[str]:
    known, new = set[str](), {start}
    while new:
        known |= new
        ours = [edge for edge in EDGES if edge[1].startswith(DOOR)]
        new = {room(wanted) for module, wanted in ours if room(module) in new} - known
    return known


@pytest.mark.parametrize("package", OUTSIDE)
def test_foreign_packages_stay_in_their_rooms(package: str) -> None:
    """Only the rooms of the table import it."""
    users = {room(module) for module, wanted in EDGES if wanted.split(".")[0] == package}

    assert users <= OUTSIDE[package]


def test_imports_inside_functions_are_listed() -> None:
    """Each has a reason in the table, and no reason is left over."""
    late = {
        (name, wanted.removeprefix(f"{DOOR}."))
        for name, tree in modules()
        for wanted in imports(tree, late=True)
    }

    names = {name for name, _ in modules()}
    assert late == {row for row in LATE if row[0] in names}
