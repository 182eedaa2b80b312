"""What importing and loading the package costs, and what it gives."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import gprochat_magic

HEAVY = (
    "aiohttp", "anywidget", "ipywidgets", "nest_asyncio", "nest_asyncio2", "sqlite3", "pandas",
    "polars", "numpy", "PIL", "matplotlib", "tqdm", "distributed",
)  # fmt: skip
MODULES = [m.name for m in pkgutil.walk_packages(gprochat_magic.__path__, "gprochat_magic.")]


def python(code: str, **options: Any) -> str:
    """What a fresh interpreter prints; warnings are errors there."""
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **options)
    assert (done.returncode, done.stderr) == (0, "")
    return str(done.stdout)


def test_importing_the_package_is_light() -> None:
    """`import gprochat_magic` brings none of the heavy packages, and not IPython either."""
    code = "import gprochat_magic, sys; print([m for m in {} if m in sys.modules])"

    assert python(code.format((*HEAVY, "IPython", "asyncio"))) == "[]\n"


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_each_module_imports_alone() -> None:
    """No module needs another to have been imported before it."""

    def alone(module: str) -> str:
        return python(f"import importlib; importlib.import_module({module!r})")

    with ThreadPoolExecutor(os.cpu_count()) as several:
        said = dict(zip(MODULES, several.map(alone, MODULES), strict=True))

    assert {module: text for module, text in said.items() if text} == {}


def test_public_names_equal_all() -> None:
    """The door lists what it has, and has what it lists."""
    for name in gprochat_magic.__all__:
        assert getattr(gprochat_magic, name) is not None
    public = {name for name in dir(gprochat_magic) if not name.startswith("_")}
    modules = {m.removeprefix("gprochat_magic.") for m in MODULES}

    assert public - modules - {"annotations", "import_module", "TYPE_CHECKING", "Any"} == set(
        gprochat_magic.__all__
    )


@pytest.mark.parametrize("name", ["Chat", "GPROChat", "GPROChatError", "Reply", "ask"])
def test_names_at_the_door_are_those_of_the_rooms(name: str) -> None:
    """Each public name is defined where the door says."""
    home: Mapping[str, str] = vars(gprochat_magic)["_HOMES"]

    module = importlib.import_module(f"gprochat_magic.{home[name]}")
    assert getattr(gprochat_magic, name) is getattr(module, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A slip is named with the package."""
    with pytest.raises(AttributeError, match=r"gprochat_magic.* has no attribute 'Chta'"):
        _ = gprochat_magic.Chta


def test_the_version_is_the_distribution_s() -> None:
    """`__version__` and the installed metadata agree."""
    metadata = importlib.import_module("importlib.metadata")

    assert gprochat_magic.__version__ == metadata.version("gprochat-magic")
