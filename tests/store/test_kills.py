"""Kernels that are killed, that write at once, that fork, and that leave."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gprochat_magic.conversation import Turn
from gprochat_magic.store import Store
from gprochat_magic.store.database import Database
from gprochat_magic.store.migrations import LATEST
from gprochat_magic.store.operations import Known, Operation
from gprochat_magic.store.records import Entry
from tests.store.histories import Children, Stores, fill, integrity, prompts, report, said, sql


def killed_while_streaming(
    child: Children, path: Path, name: str, *, kernels: int
) -> dict[str, int]:
    """Kill kernels at a random moment; the turns they said were saved, with their lengths."""
    running = [child("stream", path, f"{name} {number}") for number in range(kernels)]
    first = [said(process) for process in running]
    time.sleep(random.random() * 0.15)
    for process in running:
        process.send_signal(signal.SIGKILL)
    rest = [process.stdout.read() for process in running if process.stdout]
    # A line that was cut by the kill says nothing.
    lines = [*first, *(line for text in rest for line in text.split("\n")[:-1])]
    assert [line for line in lines if not line.startswith("saved")] == []
    return {turn: int(length) for _, turn, length in (line.split() for line in lines)}


def lost(store: Store, acknowledged: dict[str, int]) -> list[str]:
    """Those acknowledged turns that are not whole in the file."""
    found = {}
    for summary in store.conversations():
        loaded = store.load(summary.id, remember=False)
        assert loaded.damaged == frozenset()
        assert all(turn.state in ("complete", "interrupted", "failed") for turn in loaded.turns)
        found |= {turn.id: len(turn.reply) for turn in loaded.turns if turn.state == "complete"}
    return [turn for turn, length in acknowledged.items() if found.get(turn) != length]


@pytest.mark.parametrize(
    ("kills", "kernels"),
    [
        (6, 1),
        (3, 2),
        pytest.param(200, 1, marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
        pytest.param(200, 2, marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
def test_F80_F82_kill_while_writing(
    child: Children, path: Path, open_store: Stores, kills: int, kernels: int
) -> None:
    """A killed kernel, alone or one of two, loses no turn that was said to be saved."""
    acknowledged: dict[str, int] = {}
    for number in range(kills):
        acknowledged |= killed_while_streaming(child, path, f"run {number}", kernels=kernels)
        assert integrity(path) == "ok"

    assert len(acknowledged) >= kills * kernels
    assert lost(open_store(), acknowledged) == []
    report(f"{kills} kills of {kernels}: {len(acknowledged)} acknowledged turns, 0 lost")


@pytest.mark.parametrize(
    "kills", [8, pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)
def test_F81_kill_while_migrating(
    child: Children, path: Path, old_file: Path, open_store: Stores, kills: int
) -> None:
    """A kernel that is killed while it migrates leaves the old schema or the new one, and all
    rows.
    """
    path.parent.mkdir()
    versions = []
    for _ in range(kills):
        for each in path.parent.iterdir():
            each.unlink()
        shutil.copy(old_file, path)
        process = child("migrate", path)
        said(process)
        time.sleep(random.random() * 0.05)
        process.kill()
        process.wait()
        versions.append(version_and_rows(path))

    assert set(versions) <= {(1, 3000), (LATEST, 3000)}
    assert len(prompts(open_store(), "old")) == 3000
    report(f"{kills} kills: {versions.count((1, 3000))} old, {versions.count((LATEST, 3000))} new")


def version_and_rows(path: Path) -> tuple[object, object]:
    """The schema of a file as the next kernel finds it, and how many turns it has."""
    assert integrity(path) == "ok"
    version = sql(path, "PRAGMA user_version")[0][0]
    tables = {row[0] for row in sql(path, "SELECT name FROM sqlite_master")}
    assert ("unindexed" in tables) == ("cache" in tables) == (version == LATEST)
    return version, sql(path, "SELECT count(*) FROM turn")[0][0]


def test_F71_fork_after_use(open_store: Stores, path: Path) -> None:
    """A forked child has a store of its own; the parent's goes on, and both write."""
    store = open_store()
    conversation = fill(store, "forked", 3)
    pid = os.fork()
    if pid == 0:
        try:
            saved = store.save(conversation, Turn("from the child", state="complete")).result(10)
            seen = "from the child" in prompts(store, "forked")
            os._exit(0 if saved == "saved" and seen and store.close() else 3)
        finally:
            os._exit(4)
    store.save(conversation, Turn("from the parent", state="complete")).result(10)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert status == 0
    assert sorted(prompts(store, "forked")[3:]) == ["from the child", "from the parent"]
    assert integrity(path) == "ok"


def test_F71_what_waits_is_the_parents(child: Children, open_store: Stores, path: Path) -> None:
    """A child does not write what its parent is still to write, and is a run of its own."""
    store = open_store(patience=0.1)
    conversation = fill(store, "forked", 1)
    holder = child("hold", path)
    said(holder)
    store.save(conversation, Turn("waits", state="complete")).result(10)
    run = store.run
    pid = os.fork()
    if pid == 0:
        os._exit(0 if store.waiting == 0 and store.run != run else 3)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert store.waiting == 1
    holder.communicate("\n")
    assert store.flush(10)


def test_F71_fork_while_writing(open_store: Stores, path: Path) -> None:
    """A child that is forked while turns are written and ends at once does no harm to them."""
    store = open_store()
    conversation = store.create("busy")
    for number in range(60):
        store.save(conversation, Turn(f"{number}", reply="x" * 20_000, state="complete"))
        if number % 6 == 0:
            pid = os.fork()
            if pid == 0:
                # Letting go of what was inherited is what could roll back the parent's transaction.
                del store
                os._exit(0)
            os.waitpid(pid, 0)

    assert store.flush(20)
    assert prompts(store, "busy") == [f"{number}" for number in range(60)]
    assert integrity(path) == "ok"


@dataclass
class Slow(Operation):
    """A change of nothing that takes a while, and knows whether it is over."""

    begun: threading.Event = field(default_factory=threading.Event)
    over: bool = False

    def apply(self, entry: Entry | None) -> Entry | None:
        return entry

    def write(self, database: Database, known: Known) -> None:
        self.begun.set()
        threading.Event().wait(0.5)
        self.over = True


def test_F71_a_fork_waits_for_the_end_of_a_transaction(open_store: Stores) -> None:
    """A child is never born with a transaction of its parent's open."""
    store, slow = open_store(), Slow("")
    future = store._writer.submit(slow)
    assert slow.begun.wait(10)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if slow.over else 1)
    _, status = os.waitpid(pid, 0)
    future.result(10)

    assert status == 0


def test_F72_F73_turn_of_a_dead_kernel(child: Children, path: Path, open_store: Stores) -> None:
    """A turn whose kernel was killed loads as interrupted with its text, or as failed without."""
    process = child("begin", path, "killed", "")
    _, with_text, without = said(process).split()
    process.kill()
    process.wait()
    turns = {turn.id: turn for turn in open_store().load("killed").turns}

    assert (turns[with_text].state, turns[with_text].reply) == ("interrupted", "partial")
    assert turns[without].state == "failed"


def test_F72_dead_turns_are_settled_in_the_file(
    child: Children, path: Path, open_store: Stores
) -> None:
    """What was found out about a dead kernel's turns is written down, with a sound checksum."""
    process = child("begin", path, "killed", "")
    said(process)
    process.kill()
    process.wait()
    store = open_store()
    store.load("killed")

    assert store.flush(10)
    assert sql(path, "SELECT state FROM turn ORDER BY seq") == [("interrupted",), ("failed",)]
    assert open_store().load("killed").damaged == frozenset()


def test_F72_turn_of_a_living_kernel(child: Children, path: Path, open_store: Stores) -> None:
    """A turn that another living kernel writes stays as it is, unless that is this kernel's
    past.
    """
    process = child("begin", path, "alive", "kernel-1")
    said(process)
    other = [turn.state for turn in open_store(kernel="kernel-2").load("alive").turns]
    same = [turn.state for turn in open_store(kernel="kernel-1").load("alive").turns]

    assert other == ["pending", "pending"]
    assert same == ["interrupted", "failed"]


def test_F77_exit_writes_what_waits(child: Children, path: Path, open_store: Stores) -> None:
    """A kernel that ends without closing anything has written all of its turns."""
    process = child("leave", path, 200)
    output, _ = process.communicate(timeout=20)

    assert process.returncode == 0
    assert output
    assert len(prompts(open_store(), "left")) == 200


def test_F77_exit_does_not_wait_for_ever(child: Children, path: Path, open_store: Stores) -> None:
    """A kernel ends soon even if another program holds the file."""
    fill(open_store(), "first", 1)
    holder = child("hold", path)
    said(holder)
    leaver = child("leave", path, 5)
    said(leaver)

    assert leaver.wait(20) == 0
