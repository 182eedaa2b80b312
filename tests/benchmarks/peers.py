"""Other packages that ask a model from a cell, measured beside ours by the same script.

Run `python -m tests.benchmarks --peers`. Each is installed from PyPI into an environment of its
own, in a folder that stays for the next run. All ask one server on loopback, the same replies.
"""

from __future__ import annotations

import queue
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.benchmarks.cells import reply_of
from tests.benchmarks.model import Model, said_in, serving
from tests.benchmarks.table import printed
from tests.benchmarks.watched import watched
from tests.kernels import Kernel, kernel

PLACE = Path(tempfile.gettempdir()) / "gprochat-peers"
CHUNKS = 5_000
"""Of five bytes each."""
BRACES = (
    'Why is {"a": 1, "b": [2]} no set?',
    "What does function f(x) { return x + 1; } do?",
    "What is wrong with if (x) { y",
    r"Simplify \frac{1}{2} + x^{2}",
    'Explain print(f"{missing.attribute}")',
    'What do "{0}".format(1) and "{}" mean?',
)
"""Prompts as people paste them: a dict, JavaScript, an open brace, LaTeX, an f-string, fields."""

FAILURES = (subprocess.SubprocessError, OSError, AssertionError, RuntimeError, queue.Empty)
"""What an installation or a kernel that does not come up raises; that peer is then not measured."""

PromptCell = Callable[[str, str], str]
"""The cell that sends a prompt to the server at an address."""


@dataclass(frozen=True)
class Peer:
    """A package: what to install, how it is loaded, and how a cell asks.

    `setup` runs once in a kernel after `load`, untimed; it may name the server as `URL`.
    """

    name: str
    load: str
    cell: PromptCell
    packages: tuple[str, ...] = ()
    setup: str = ""
    environment: dict[str, str] = field(default_factory=dict)


def _openai(url: str) -> dict[str, str]:
    return {
        "OPENAI_API_KEY": "none",
        "OPENAI_API_BASE": url,
        "OPENAI_BASE_URL": url,
        "CELLMAGE_API_BASE": url,
        "CELLMAGE_API_KEY": "none",
        "GPROCHAT_BACKEND": f"{url}#m",
        "NO_PROXY": "*",
        # Nobody is to look for a network that is not there.
        "HF_HUB_OFFLINE": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


OURS = Peer(
    "gprochat-magic", "%load_ext gprochat_magic", lambda prompt, url: f"%%gprochat\n{prompt}"
)
PEERS = (
    OURS,
    Peer(
        "jupyter-ai-magics",
        "%load_ext jupyter_ai_magics",
        lambda prompt, url: f"%%ai openai-chat-custom:m\n{prompt}",
        ("jupyter-ai-magics", "langchain-openai"),
    ),
    Peer(
        "cellmage",
        "%load_ext cellmage",
        lambda prompt, url: f"%%llm -m m\n{prompt}",
        # It imports langchain without saying so.
        ("cellmage", "langchain"),
    ),
    Peer(
        "bia-bob",
        "from bia_bob import bob",
        lambda prompt, url: f"%%bob\n{prompt}",
        # It imports yaml without saying so.
        ("bia-bob", "pyyaml"),
        setup="bob.initialize(endpoint=URL, model='m', api_key='none')",
    ),
    Peer(
        "chatlab",
        "from chatlab import Chat",
        lambda prompt, url: f"await Chat(base_url={url!r}, model='m')({prompt!r})",
        ("chatlab",),
    ),
)
UNMEASURED = {
    "ipyai": "asks Claude and Codex only: no setting takes the address of another server",
}


def python_of(peer: Peer, place: Path) -> str:
    """The interpreter of a peer's environment, made if there is none. Raises where that fails."""
    if not peer.packages:
        return sys.executable
    folder = place / peer.name
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        run = {"check": True, "capture_output": True, "timeout": 900}
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], **run)
        subprocess.run([python, "-m", "pip", "install", "-q", "ipykernel", *peer.packages], **run)
        (folder / "ready").touch()
    return str(python)


def measured(peer: Peer, python: str, model: Model, *, rounds: int, chunks: int) -> list[str]:
    """One line of the table. What fails says why in its place, and the rest is measured."""
    environment = _openai(model.url)
    with tempfile.TemporaryDirectory() as home:
        # No settings or caches of whoever runs this.
        environment |= {"HOME": home, "GPROCHAT_STORE": str(Path(home) / "history.sqlite")}

        def fresh() -> AbstractContextManager[Kernel]:
            return kernel(load=False, python=python, **environment)

        loads = []
        for _ in range(rounds):
            with fresh() as k:
                loads.append(_loaded(k, peer, home))
        with fresh() as k:
            _loaded(k, peer, home)
            ran = k.run(peer.setup.replace("URL", repr(model.url)))
            assert ran.status == "ok", ran.error
            return [
                f"{peer.name} {_version(k, peer)}",
                f"{median(loads):.2f} s",
                *_tried(2, lambda: _first(k, peer, model, rounds)),
                *_tried(3, lambda: _traffic(k, peer, model, chunks)),
                *_tried(1, lambda: _braces(k, peer, model)),
            ]


def _tried(columns: int, measure: Callable[[], list[str]]) -> list[str]:
    try:
        return measure()
    except (RuntimeError, queue.Empty) as error:
        reason = str(error) or "nothing more came"
        return [reason[:60], *[""] * (columns - 1)]


def _loaded(k: Kernel, peer: Peer, home: str) -> float:
    """Seconds that loading takes, by the kernel's own clock."""
    code = f"import time; _t = time.perf_counter()\n{peer.load}\n_t = time.perf_counter() - _t"
    k.run(f"import os; os.chdir({home!r})")  # some write logs and files where they are
    ran = k.run(code)
    assert ran.status == "ok", ran.error
    return float(k.value("_t"))


def _version(k: Kernel, peer: Peer) -> str:
    return str(k.value(f"__import__('importlib.metadata').metadata.version({peer.name!r})"))


def _first(k: Kernel, peer: Peer, model: Model, rounds: int) -> list[str]:
    """The first text beyond the model's: of the kernel's first prompt, and of later ones."""
    # Two seconds of words: who does not stream shows nothing before they are over.
    model.pieces, model.pause = reply_of(500, 5), 0.02
    cell = peer.cell("hello", model.url)
    first, *later = (watched(k, model, cell).first for _ in range(rounds + 1))
    return [f"{first * 1e3:.0f} ms", f"{median(later) * 1e3:.0f} ms"]


def _traffic(k: Kernel, peer: Peer, model: Model, chunks: int) -> list[str]:
    """Messages, bytes beside those of the reply, and CPU of a reply of many chunks."""
    model.pieces, model.pause = reply_of(5 * chunks, 5), 0.001
    seen = watched(k, model, peer.cell("hello again", model.url))
    return [
        str(seen.messages),
        f"{seen.size / 1e3:,.0f} kB ({seen.size / (5 * chunks):.1f}x)",
        f"{seen.cpu * 1e6 / chunks:.0f} ms",
    ]


def _braces(k: Kernel, peer: Peer, model: Model) -> list[str]:
    """How many of the prompts reach the server byte for byte."""
    model.pieces, model.pause = reply_of(40, 40), 0.0
    whole = 0
    for prompt in BRACES:
        model.asked.clear()
        k.run(peer.cell(prompt, model.url))
        whole += any(prompt in said_in(asked) for asked in model.asked)
    return [f"{whole} of {len(BRACES)}"]


HEADS = (
    "package",
    "load",
    "first text, first prompt",
    "later",
    "messages",
    "bytes",
    "CPU per 1,000 chunks",
    "braces as typed",
)


def main(
    peers: Sequence[Peer] = PEERS, *, rounds: int = 5, chunks: int = CHUNKS, place: Path = PLACE
) -> int:
    """Measure and print; the exit status is 0, for there is no budget here."""
    lines, missing = [], dict(UNMEASURED)
    with serving() as model:
        for peer in peers:
            try:
                python = python_of(peer, place)
                lines.append(measured(peer, python, model, rounds=rounds, chunks=chunks))
            except FAILURES as error:
                missing[peer.name] = f"{type(error).__name__}: {str(error)[:200]}"
    sys.stdout.write(f"A reply of {5 * chunks:,} bytes in {chunks:,} chunks.\n")
    printed(HEADS, lines)
    for name, reason in missing.items():
        sys.stdout.write(f"Not measured: {name} ({reason})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
