"""A real kernel over ZMQ, as a front end drives it: run cells, watch messages, interrupt, stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.manager import KernelManager

PATIENCE = 60
"""Seconds after which a kernel that says nothing counts as hung."""


@dataclass
class Ran:
    """What came of a cell: its reply, every message, and the outputs that a notebook would save."""

    reply: dict[str, Any]
    messages: list[dict[str, Any]]
    outputs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def status(self) -> str:
        return str(self.reply["content"]["status"])

    @property
    def stdout(self) -> str:
        return "".join(o["text"] for o in self.outputs if o["output_type"] == "stream")

    @property
    def error(self) -> dict[str, Any]:
        return next(o for o in self.outputs if o["output_type"] == "error")

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The data of displayed outputs, in their final form."""
        return [o["data"] for o in self.outputs if "data" in o]

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        return [m for m in self.messages if m["msg_type"] in kinds]


class Kernel:
    """A started kernel and a client of it."""

    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self.client = manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    def start(self, code: str) -> str:
        """Send a cell; returns the id that its messages answer to."""
        return str(self.client.execute(code, allow_stdin=False))

    def run(self, code: str, watch: Callable[[dict[str, Any]], object] = lambda m: None) -> Ran:
        """Run a cell to its end. `watch` sees each message as it arrives."""
        return self.finish(self.start(code), watch)

    def finish(
        self, wanted: str, watch: Callable[[dict[str, Any]], object] = lambda m: None
    ) -> Ran:
        """Collect a cell's messages until the kernel is idle again, and its reply."""
        messages = []
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != wanted:
                continue
            messages.append(message)
            watch(message)
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                break
        while True:
            reply = self.client.get_shell_msg(timeout=PATIENCE)
            if reply["parent_header"].get("msg_id") == wanted:
                return Ran(reply, messages, as_saved(messages))

    def value(self, expression: str) -> Any:
        """The value of an expression, which must print as a Python literal."""
        ran = self.run(f"print(repr(({expression})))")
        assert ran.status == "ok", ran.error
        return eval(ran.stdout)

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


def as_saved(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Outputs as a front end keeps them: updates put in place, streams joined."""
    outputs: list[dict[str, Any]] = []
    by_id: dict[str, dict[str, Any]] = {}
    for message in messages:
        kind, content = message["msg_type"], message["content"]
        if kind in ("display_data", "execute_result"):
            output = {"output_type": kind, "data": content["data"], "metadata": content["metadata"]}
            outputs.append(output)
            if display_id := content.get("transient", {}).get("display_id"):
                by_id[display_id] = output
        elif kind == "update_display_data":
            # One that another cell made is not among these.
            by_id.get(content["transient"]["display_id"], {})["data"] = content["data"]
        elif kind == "stream":
            last = outputs[-1] if outputs else {}
            if last.get("name") == content["name"]:
                last["text"] += content["text"]
            else:
                outputs.append({"output_type": "stream", **content})
        elif kind == "error":
            outputs.append({"output_type": "error", **content})
    return outputs


@contextmanager
def kernel(
    *, load: bool = True, python: str = sys.executable, **environment: str
) -> Iterator[Kernel]:
    """A kernel of its own process, with the extension loaded."""
    manager = KernelManager(kernel_name="python3")
    manager.kernel_spec.argv[0] = python
    # Nothing of a test goes into the history of whoever runs it.
    manager.start_kernel(env={**os.environ, "GPROCHAT_STORE": ":memory:", **environment})
    started = Kernel(manager)
    try:
        if load:
            assert started.run("%load_ext gprochat_magic").status == "ok"
        yield started
    finally:
        started.close()
