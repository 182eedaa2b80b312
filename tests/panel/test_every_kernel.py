"""Stop over a real kernel's comm, on each of the interpreters that are given.

`GPROCHAT_TEST_KERNEL_PYTHONS` names them, joined by `os.pathsep`; without it, the one that runs.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateways import Served, served
from tests.kernels import PATIENCE, Kernel, kernel

pytestmark = pytest.mark.soak

PYTHONS = os.environ.get("GPROCHAT_TEST_KERNEL_PYTHONS", sys.executable).split(os.pathsep)
BLOCKING = "import time\nprint('blocked', flush=True)\ntime.sleep(60)"


class PageOf:
    """What a browser's page is to a kernel: it tells a panel's comm, and hears what comes back."""

    def __init__(self, kernel: Kernel, *, subshell: bool) -> None:
        self.kernel = kernel
        self.heard: list[dict[str, Any]] = []
        ran = kernel.run(
            "from gprochat_magic import ChatPanel\npanel = ChatPanel(ui='panel')\npanel"
        )
        [opened] = [m for m in ran.of("comm_open") if "_esm" in m["content"]["data"]["state"]]
        self.comm_id = opened["content"]["comm_id"]
        self.subshell = self._subshell() if subshell else None
        self.tell(t="hello", v=1)

    def _subshell(self) -> str:
        client = self.kernel.client
        asked = client.session.msg("create_subshell_request", {})
        client.control_channel.send(asked)
        while True:
            reply = client.get_control_msg(timeout=PATIENCE)
            if reply["parent_header"].get("msg_id") == asked["header"]["msg_id"]:
                return str(reply["content"]["subshell_id"])

    def tell(self, **content: Any) -> None:
        """Send a custom message."""
        client = self.kernel.client
        data = {"method": "custom", "content": content}
        message = client.session.msg("comm_msg", {"comm_id": self.comm_id, "data": data})
        if self.subshell is not None:
            message["header"]["subshell_id"] = self.subshell
        client.shell_channel.send(message)

    def wait(self, kind: str, count: int = 1) -> dict[str, Any]:
        """The custom message of a kind that comes next, or after some more of them."""
        while True:
            message = self.kernel.client.get_iopub_msg(timeout=PATIENCE)
            content = message["content"]
            if content.get("comm_id") != self.comm_id or content["data"].get("method") != "custom":
                continue
            said: dict[str, Any] = content["data"]["content"]
            self.heard.append(said)
            count -= said["t"] == kind
            if not count:
                return said

    def stream(self, nonce: str) -> str:
        """Have a long reply begin; returns the id of its run."""
        self.tell(t="send", nonce=nonce, text="go on")
        return str(self.wait("d", 3)["rid"])


@pytest.fixture(scope="module")
def far() -> Iterator[Served]:
    with served() as gateway:
        gateway.backend.pieces, gateway.backend.pause = ["text "] * 3_000, 0.01
        yield gateway


@pytest.fixture(scope="module", params=PYTHONS, ids=lambda path: path.split("/")[-3])
def k(request: pytest.FixtureRequest, far: Served) -> Iterator[Kernel]:
    """A kernel of each interpreter, with the extension loaded."""
    with kernel(python=request.param, **far.environment) as started:
        yield started


@pytest.fixture(params=[False, True], ids=["shell", "subshell"])
def page(request: pytest.FixtureRequest, k: Kernel) -> PageOf:
    """A panel's page that sends where cells run, or, as JupyterLab does, beside that."""
    k.client.kernel_info()
    about = k.client.get_shell_msg(timeout=PATIENCE)["content"]
    if request.param and "kernel subshells" not in about.get("supported_features", []):
        pytest.skip("this kernel has no subshells")
    return PageOf(k, subshell=request.param)


def test_F64_stop_ends_the_panels_own_stream(far: Served, k: Kernel, page: PageOf) -> None:
    """Pressed twice, it ends the run once, with its text; the source is closed in half a second."""
    took = []
    for number in range(3):
        rid = page.stream(f"n{number}")
        closed, pressed = far.backend.closed, time.monotonic()
        page.tell(t="stop", rid=rid)
        page.tell(t="stop", rid=rid)
        assert far.backend.wait_closed(closed + 1)
        took.append(time.monotonic() - pressed)
        done = page.wait("done")

        assert ("interrupted", rid) == (done["message"]["status"], done["rid"])
        assert done["message"]["text"].startswith("text text")
    assert ["done"] * 3 == [each["t"] for each in page.heard if each["t"] in ("done", "err")]
    assert min(took) < 0.5  # of three: what else the machine does is not the panel's


def blocked(k: Kernel) -> str:
    """Have a cell block the kernel; returns the id that its messages answer to."""
    cell = k.start(BLOCKING)
    while k.client.get_iopub_msg(timeout=PATIENCE)["msg_type"] != "stream":
        pass
    return cell


def status(k: Kernel, cell: str) -> str:
    """How a cell ended."""
    while True:
        reply = k.client.get_shell_msg(timeout=PATIENCE)
        if reply["parent_header"].get("msg_id") == cell:
            return str(reply["content"]["status"])


def test_F65_stop_while_a_cell_blocks_the_kernel(far: Served, k: Kernel, page: PageOf) -> None:
    """Beside the cells it works at once; where they run, an interrupt lets it in; text is kept."""
    rid = page.stream("n")
    k.run("panel.ui = {'height': '30em'}")  # a message to the page that comes from a cell
    closed, cell = far.backend.closed, blocked(k)
    page.tell(t="stop", rid=rid)
    if page.subshell is None:
        page.wait("d", 3)
        k.interrupt()
    assert far.backend.wait_closed(closed + 1)
    done = page.wait("done")
    if page.subshell is not None:
        k.interrupt()

    assert "error" == status(k, cell)
    assert "interrupted" == done["message"]["status"]
    assert done["message"]["text"].startswith("text text")
    page.tell(t="send", nonce="next", text="and on")
    page.tell(t="stop", rid=page.wait("open")["rid"])
    assert page.wait("done")["rid"] != rid
