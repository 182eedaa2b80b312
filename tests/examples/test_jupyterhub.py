"""The JupyterHub example, in a real hub with one user's server; the hub's own proxy is left out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any, TypeVar

import psutil
import pytest

from gprochat_magic import GPROChat
from tests.gateway.serving import serving

EXAMPLE = Path(__file__).parents[2] / "examples" / "jupyterhub" / "jupyterhub_config.py"
PYTHON = os.environ.get("GPROCHAT_TEST_HUB_PYTHON", "")
"""One with JupyterHub, which brings packages that change how aiohttp looks names up."""
PATIENCE = 90
T = TypeVar("T")
AROUND = """
from jupyterhub.proxy import Proxy

class NoProxy(Proxy):
    should_start = False
    routes = {{}}

    async def add_route(self, routespec, target, data):
        self.routes[routespec] = {{"routespec": routespec, "target": target, "data": data}}

    async def delete_route(self, routespec):
        self.routes.pop(routespec, None)

    async def get_all_routes(self):
        return self.routes

load_subconfig("example.py")
c.JupyterHub.services.append({{"name": "test", "api_token": "{token}"}})
c.JupyterHub.load_roles = [
    {{"name": "test", "scopes": ["admin:users", "admin:servers"], "services": ["test"]}}
]
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.bind_url = "http://127.0.0.1:{public}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub}"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.Spawner.args = ["--allow-root"]
# Whether the server ever answers is none of this test's business.
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0}}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Hub:
    """A running hub, asked through its interface."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, token: str, log: Path) -> None:
        self.process = process
        self.origin = f"http://127.0.0.1:{port}/hub/api"
        self._token = token
        self._log = log

    def api(self, method: str, path: str) -> Any:
        request = urllib.request.Request(f"{self.origin}{path}", method=method)
        request.add_header("Authorization", f"token {self._token}")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read() or "null")

    def wait_for(self, found: Callable[[], T]) -> T:
        """What is found, once it is there."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(urllib.error.URLError, ConnectionError, LookupError):
                return found()
            time.sleep(0.1)
        raise AssertionError(self._log.read_text()[-3000:])

    def variables_of(self, name: str) -> dict[str, str]:
        """The environment of the hub's child whose command holds a word."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            if any(name in word for word in child.cmdline()):
                return child.environ()
        raise LookupError(name)


@contextlib.contextmanager
def hub(folder: Path, gateway: int) -> Iterator[Hub]:
    """A hub with the example in its configuration, the gateway on a port of the test's."""
    if not PYTHON:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no JupyterHub, and this test must run here")
        pytest.skip("GPROCHAT_TEST_HUB_PYTHON names no Python with JupyterHub")
    text, port, token = EXAMPLE.read_text(), free_port(), token_hex(16)
    assert "127.0.0.1:8711" in text
    (folder / "example.py").write_text(text.replace("127.0.0.1:8711", f"127.0.0.1:{gateway}"))
    around = AROUND.format(token=token, hub=port, public=free_port())
    (folder / "jupyterhub_config.py").write_text(around)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [PYTHON, "-m", "jupyterhub"],
            cwd=folder,
            stdout=log,
            stderr=log,
            # Where it finds the command of its users' servers.
            env={**os.environ, "PATH": f"{Path(PYTHON).parent}{os.pathsep}{os.environ['PATH']}"},
        )
        try:
            asked = Hub(process, port, token, folder / "log")
            asked.wait_for(lambda: asked.api("GET", "/"))
            yield asked
        finally:
            children = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            process.wait(PATIENCE)
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()


def read(url: str) -> bytes:
    """What an address answers."""
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return bytes(answer.read())


def test_a_user_of_a_hub_has_a_secret(tmp_path: Path) -> None:
    """The hub starts the gateway; a user's server is told its address and a secret of her own."""
    port = free_port()
    with hub(tmp_path, port) as asked:
        secrets = tmp_path / "gprochat_secrets"
        assert 0o600 == stat.S_IMODE(secrets.stat().st_mode)
        place = f"http://127.0.0.1:{port}/services/gprochat"
        assert b"ok\n" == asked.wait_for(lambda: read(f"{place}/healthz"))

        asked.api("POST", "/users/ada")
        asked.api("POST", "/users/ada/server")
        found = asked.wait_for(lambda: asked.variables_of("jupyterhub-singleuser"))

        assert (
            f"http://127.0.0.1:{port}/services/gprochat/api/generate"
            == (found["GPROCHAT_API_ENDPOINT"])
        )
        assert f"ada:{found['GPROCHAT_SECRET_KEY']}" in secrets.read_text().splitlines()
        done = subprocess.run(
            [sys.executable, "-m", "gprochat_magic", "ask", "--no-history", "json"],
            env={**os.environ, **{k: v for k, v in found.items() if k.startswith("GPROCHAT")}},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert (0, "") == (done.returncode, done.stderr)
        assert '"name"' in done.stdout
    assert " ada POST /services/gprochat/api/generate 200 " in (tmp_path / "log").read_text()


def test_the_environment_of_a_hub(tmp_path: Path) -> None:
    """`serve` listens where a hub says, under the path that it gives, without further words."""
    port = free_port()
    place = {
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}",
        "JUPYTERHUB_SERVICE_PREFIX": "/services/gprochat/",
    }
    with serving(own_port=False, **place) as running:
        assert f"http://127.0.0.1:{port}/services/gprochat/api/generate" == running.endpoint

        async def ask() -> str:
            pieces = GPROChat.create_async_generator(
                "",
                [{"role": "user", "content": "json"}],
                api_endpoint=running.endpoint,
                secret_key=running.secret.reveal(),
            )
            return "".join([piece async for piece in pieces])

        assert '"name"' in asyncio.run(ask())
