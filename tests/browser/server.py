"""A Jupyter server of the tests' own: JupyterLab and Notebook 7 on a free port."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat

TOKEN = "browser-tests"
PATIENCE = 90
_SETTINGS = {
    # A notice of a release, and a question whether to look for news, would cover what is tested.
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    # In pictures it would be in the way.
    "statusbar-extension/plugin": {"visible": False},
    # Cells out of view would not be in the page.
    "notebook-extension/tracker": {"windowingMode": "none"},
}


class Server:
    """A running server: its address, and the folder that it shows."""

    def __init__(self, origin: str, root: Path) -> None:
        self.origin = origin
        self.root = root

    def api(self, method: str, path: str) -> Any:
        """The answer of the server's own interface, decoded; None if it is empty."""
        request = urllib.request.Request(f"{self.origin}/api/{path}", method=method)
        request.add_header("Authorization", f"token {TOKEN}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or "null")

    def write(self, name: str, cells: list[str], *, kernel: str = "scripted") -> str:
        """Put a notebook of these code cells into the folder; returns its path there."""
        made = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],  # type: ignore[no-untyped-call]
            metadata={"kernelspec": {"name": kernel, "display_name": kernel}},
        )
        return self.write_notebook(name, made)

    def write_notebook(self, name: str, notebook: Any) -> str:
        """Put a notebook into the folder; returns its path there."""
        nbformat.write(notebook, self.root / f"{name}.ipynb")  # type: ignore[no-untyped-call]
        return f"{name}.ipynb"

    def read(self, path: str) -> Any:
        """The notebook of that path as it is saved."""
        return nbformat.read(self.root / path, as_version=4)  # type: ignore[no-untyped-call]

    def end_session(self, path: str) -> None:
        """Stop the kernel of a notebook."""
        for session in self.api("GET", "sessions"):
            if session["path"] == path:
                self.api("DELETE", f"sessions/{session['id']}")


@contextlib.contextmanager
def jupyter(
    home: Path, environment: Mapping[str, str], *options: str, lacking: str = ""
) -> Iterator[Server]:
    """A server with two kernels of this Python: `python3`, and `scripted` with this environment.

    `options` go onto its command line; its pages have no front-end extension `lacking`.
    """
    root = home / "notebooks"
    root.mkdir(parents=True)
    _write_settings(home / "config")
    if lacking:
        file = home / "config" / "labconfig" / "page_config.json"
        file.parent.mkdir()
        file.write_text(json.dumps({"disabledExtensions": {lacking: True}}))
    _write_kernel(home / "data" / "kernels" / "python3", {})
    _write_kernel(home / "data" / "kernels" / "scripted", environment)
    server = Server(f"http://127.0.0.1:{_free_port()}", root)
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*_command(server), *options], env=_environment(home), cwd=root, stdout=log, stderr=log
        )
        try:
            _wait_until_ready(server, process, home / "server.log")
            yield server
        finally:
            process.terminate()
            process.wait(30)


def _command(server: Server) -> list[str]:
    return [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
        f"--port={server.origin.rpartition(':')[2]}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={server.root}",
        "--expose-app-in-browser",
        "--JupyterNotebookApp.expose_app_in_browser=True",
        "--LabApp.extension_manager=readonly",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]


def _environment(home: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "GPROCHAT"))}
    return {
        **kept,
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
    }


def _write_settings(config: Path) -> None:
    for name, values in _SETTINGS.items():
        file = config / "lab" / "user-settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(values))


def _write_kernel(folder: Path, environment: Mapping[str, str]) -> None:
    folder.mkdir(parents=True)
    started = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {
        "argv": started,
        "display_name": "Python 3",
        "language": "python",
        "env": dict(environment),
    }
    (folder / "kernel.json").write_text(json.dumps(spec))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _wait_until_ready(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            server.api("GET", "status")
            return
        time.sleep(0.1)
    raise RuntimeError(f"the Jupyter server did not start:\n{log.read_text()[-3000:]}")
