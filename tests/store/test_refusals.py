"""A file that cannot be written for a while: locked, full, limited, read-only, gone, too new, not
ours.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from gprochat_magic.conversation import Turn
from gprochat_magic.store.database import Database
from gprochat_magic.store.operations import Known, Operation
from gprochat_magic.store.records import Entry
from tests.store.histories import (
    Children,
    Stores,
    fill,
    integrity,
    is_held,
    prompts,
    said,
    sql,
    write_old_file,
)


def done(prompt: str, *, reply: str = "reply") -> Turn:
    """A finished turn."""
    return Turn(prompt, reply=reply, state="complete")


@dataclass
class Look(Operation):
    """A change of nothing, which looks whether another kernel could write meanwhile."""

    path: Path
    held: bool = False

    def apply(self, entry: Entry | None) -> Entry | None:
        return entry

    def write(self, database: Database, known: Known) -> None:
        self.held = is_held(self.path)


def test_F82_a_write_holds_the_lock_from_its_beginning(path: Path, open_store: Stores) -> None:
    """Nobody can write between what a change reads and what it writes."""
    store, look = open_store(), Look("", path)
    fill(store, "held", 1)
    store._writer.submit(look).result(10)

    assert look.held


@pytest.mark.parametrize(
    "seconds", [1, pytest.param(30, marks=[pytest.mark.soak, pytest.mark.timeout(120)])]
)
def test_F83_lock_held_by_another_process(
    child: Children, path: Path, open_store: Stores, seconds: float
) -> None:
    """While the file is locked turns wait in memory after one notice; then they are written."""
    store = open_store(patience=0.05)
    conversation = fill(store, "locked", 1)
    holder = child("hold", path)
    said(holder)
    began = time.monotonic()
    outcomes = []
    while time.monotonic() - began < seconds:
        future = store.save(conversation, done(f"{len(outcomes)}"))
        outcomes.append(future.result(5))
        time.sleep(seconds / 50)  # a pace, nothing is waited for
    assert holder.stdin is not None
    holder.stdin.write("\n")
    holder.stdin.flush()
    said(holder)

    assert store.flush(10)
    assert set(outcomes) == {"in memory"}
    assert len(store.notices) == 1
    assert prompts(store, "locked")[1:] == [f"{number}" for number in range(len(outcomes))]
    assert store.save(conversation, done("later")).result(5) == "saved"


def test_F83_a_short_lock_is_not_mentioned(child: Children, path: Path, open_store: Stores) -> None:
    """A turn waits for a lock that is no news yet, and is saved without a word."""
    store = open_store(patience=60)
    conversation = fill(store, "locked", 1)
    holder = child("hold", path)
    said(holder)
    future = store.save(conversation, done("waits"))
    with pytest.raises(TimeoutError):  # long enough for some tries
        future.result(1)
    assert holder.stdin is not None
    holder.stdin.write("\n")
    holder.stdin.flush()

    assert future.result(10) == "saved"
    assert store.notices == []


def test_F83_waiting_states_of_a_turn_are_one(
    child: Children, path: Path, open_store: Stores
) -> None:
    """However long a file is locked, a growing turn waits only in its latest state."""
    store = open_store(patience=0.1)
    conversation = fill(store, "locked", 1)
    holder = child("hold", path)
    said(holder)
    turn = Turn("growing")
    for _ in range(100):
        turn.reply += "more "
        store.save(conversation, turn)
    turn.state = "complete"
    store.save(conversation, turn).result(10)
    waiting = store.waiting
    holder.communicate("\n")

    assert waiting <= 3
    assert store.flush(10)
    assert sql(path, "SELECT state, length(reply) FROM turn WHERE prompt = 'growing'") == [
        ("complete", 500)
    ]


def test_F83_a_second_lock_is_said_again(child: Children, path: Path, open_store: Stores) -> None:
    """Each time that the file is in the way is said once, also after it was free again."""
    store = open_store(patience=0.1)
    conversation = fill(store, "locked", 1)
    for _ in range(2):
        holder = child("hold", path)
        said(holder)
        for number in range(3):
            store.save(conversation, done(f"{number}")).result(10)
        holder.communicate("\n")
        assert store.flush(10)

    assert ["another program" in notice for notice in store.notices] == [True, True]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.name != "posix" or os.getuid() != 0:
        pytest.skip("mounting a small disk needs root")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        if os.environ.get("CI") == "true":
            pytest.fail("root, and yet no small disk could be mounted")
        pytest.skip("this machine does not let us mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill_disk(ballast: Path) -> None:
    """Write until there is no room."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 1024):
            pass


def test_F84_disk_full(small_disk: Path, open_store: Stores) -> None:
    """On a full disk the chat goes on after one notice; with room again every turn is written."""
    path = small_disk / "history.sqlite"
    store = open_store(path)
    conversation = fill(store, "full", 3)
    ballast = small_disk / "ballast"
    fill_disk(ballast)
    outcomes = [
        store.save(conversation, done(f"{number}", reply="x" * 20_000)).result(10)
        for number in range(3)
    ]
    during = prompts(store, "full")
    sound = integrity(path)
    ballast.unlink()

    assert outcomes == ["in memory"] * 3
    assert sound == "ok"
    assert during[3:] == ["0", "1", "2"]
    assert store.flush(10)
    assert len(store.notices) == 1
    assert "disk is full" in store.notices[0]
    assert sql(path, "SELECT count(*) FROM turn") == [(6,)]
    store.close()


def test_F85_file_size_limit(child: Children, path: Path) -> None:
    """A write that the system refuses leaves the turns in memory; they are written when it lets
    them.
    """
    process = child("limited", path)
    first, second, during, flushed, saved, notices = json.loads(said(process))

    assert (first, second) == ("in memory", "in memory")
    assert during == saved == ["before", "big", "after"]
    assert flushed
    assert len(notices) == 1
    assert sql(path, "SELECT count(*) FROM turn") == [(3,)]
    assert integrity(path) == "ok"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, as pytest's own is not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


@pytest.mark.parametrize("version", [1, 2])
def test_F86_read_only(
    child: Children, open_store: Stores, open_folder: Path, version: int
) -> None:
    """A file that may only be read gives its turns, also of an older schema; new ones stay in
    memory.
    """
    path = write_old_file(open_folder / "history.sqlite", 2)
    if version == 2:
        open_store(path).find("old")
        open_store(path).flush()
    for store in [open_store(path)] if version == 2 else []:
        store.close()
    path.chmod(0o444)
    open_folder.chmod(0o555)
    before = path.read_bytes()
    process = child("unwritable", path)
    old, outcome, both, names, hits, notices = json.loads(said(process))

    assert old == ["old 0", "old 1"]
    assert outcome == "in memory"
    assert both == ["old 0", "old 1", "new"]
    assert names == ["another", "old"]
    assert hits == 3
    assert len(notices) == 1
    assert path.read_bytes() == before


def test_F90_file_deleted(open_store: Stores, path: Path) -> None:
    """A file that was deleted is made again with every turn that this kernel knows."""
    earlier = open_store()
    fill(earlier, "loaded", 2)
    earlier.close()
    store = open_store()
    loaded = store.load("loaded")
    conversation = fill(store, "own", 3)
    path.unlink()
    outcome = store.save(conversation, done("after")).result(10)

    assert outcome == "saved"
    assert sql(path, "SELECT count(*) FROM turn") == [(6,)]
    assert prompts(open_store(), "own") == ["own 0", "own 1", "own 2", "after"]
    assert open_store().load("loaded").turns == loaded.turns
    assert open_store().load("own").head is not None


def test_F90_file_replaced(open_store: Stores, path: Path, tmp_path: Path) -> None:
    """Into a file that was put in the place of ours, our turns are written beside what it has."""
    other = open_store(tmp_path / "other.sqlite")
    fill(other, "theirs", 2)
    other.close()
    store = open_store()
    conversation = fill(store, "ours", 2)
    (tmp_path / "other.sqlite").replace(path)
    store.save(conversation, done("after")).result(10)

    assert prompts(open_store(), "ours") == ["ours 0", "ours 1", "after"]
    assert prompts(open_store(), "theirs") == ["theirs 0", "theirs 1"]


def test_F91_schema_newer_than_the_code(open_store: Stores, path: Path) -> None:
    """A file of a newer version is read, never changed, and the notice says to upgrade."""
    store = open_store()
    conversation = fill(store, "newer", 2)
    store.close()
    sql(path, "PRAGMA user_version = 99")
    before = path.read_bytes()
    store = open_store()
    old = prompts(store, "newer")
    outcome = store.save(conversation, done("new")).result(10)

    assert old == ["newer 0", "newer 1"]
    assert outcome == "in memory"
    assert prompts(store, "newer") == [*old, "new"]
    assert ["upgrade" in notice for notice in store.notices] == [True]
    assert path.read_bytes() == before


def test_F87_database_of_another_program(open_store: Stores, path: Path) -> None:
    """Another program's database is neither changed nor moved; turns stay in memory."""
    path.parent.mkdir()
    sql(path, "CREATE TABLE theirs (name)")
    before = path.read_bytes()
    store = open_store()
    conversation = store.create("mine")

    assert store.save(conversation, done("new")).result(10) == "in memory"
    assert prompts(store, "mine") == ["new"]
    assert len(store.notices) == 1
    assert path.read_bytes() == before


def test_F93_empty_file(open_store: Stores, path: Path) -> None:
    """An empty file is a new one."""
    path.parent.mkdir()
    path.touch()
    store = open_store()
    fill(store, "first", 1)

    assert prompts(open_store(), "first") == ["first 0"]
    assert store.notices == []


@pytest.mark.parametrize("umask", ["000", "022"])
def test_F96_private_from_the_first_byte(child: Children, path: Path, umask: str) -> None:
    """Whatever the umask, folder, file and journal are the user's alone at every moment."""
    folder, modes = json.loads(said(child("private", path, umask)))

    assert folder == 0o700
    assert set(modes.values()) == {0o600}
    assert "history.sqlite-journal" in modes


def test_F96_loose_file_is_tightened(open_store: Stores, path: Path) -> None:
    """A file that others could read is closed to them when it is opened."""
    path.parent.mkdir()
    path.touch(mode=0o644)
    fill(open_store(), "first", 1)

    assert path.stat().st_mode & 0o777 == 0o600


def test_F97_copy_made_while_in_use(open_store: Stores, path: Path, tmp_path: Path) -> None:
    """A plain copy of the file, with the store open on it, holds every committed turn."""
    store = open_store()
    fill(store, "copied", 20)
    copy = tmp_path / "copy.sqlite"
    # By another process: closing a second handle here would drop this process's locks.
    subprocess.run([sys.executable, "-c", _COPY, path, copy], check=True)

    assert len(prompts(open_store(copy), "copied")) == 20
    assert not path.with_name("history.sqlite-wal").exists()


_COPY = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])"
