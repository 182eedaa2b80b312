"""What another kernel does to a history file; run as a program, with what to do as its first
argument.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import sys
from pathlib import Path

from gprochat_magic.conversation import Turn
from gprochat_magic.store import Store


def say(*words: object) -> None:
    """One line to the parent."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def stream(path: str, name: str) -> None:
    """Save turns for ever, as a reply that streams does; say which are committed."""
    store = Store(path)
    conversation, parent = store.create(name), None
    for number in range(1_000_000):
        turn = Turn(f"{name} prompt {number}", parent=parent)
        store.save(conversation, turn)
        for piece in range(3):
            turn.reply += f"{number}:{piece} " * 200
            store.save(conversation, turn)
        turn.state = "complete"
        outcome = store.save(conversation, turn).result(60)
        store.set_head(conversation, turn.id)
        parent = turn.id
        say("saved" if outcome == "saved" else "LATE", turn.id, len(turn.reply))
        for notice in store.notices:
            say("NOTICE", notice)


def begin(path: str, name: str, kernel: str) -> None:
    """Begin one turn with text and one without, say so, and wait to be killed."""
    store = Store(path, kernel=kernel)
    conversation = store.create(name)
    with_text, without = Turn("one", reply="partial"), Turn("two")
    store.save(conversation, with_text)
    store.save(conversation, without).result(10)
    say("begun", with_text.id, without.id)
    sys.stdin.readline()


def migrate(path: str) -> None:
    """Open a file of an older version."""
    say("go")
    store = Store(path)
    store.find("")
    say("done")
    store.close()


def hold(path: str) -> None:
    """Hold the file for as long as the parent likes."""
    conn = sqlite3.connect(path, isolation_level=None, timeout=30)
    conn.execute("BEGIN EXCLUSIVE")
    say("held")
    sys.stdin.readline()
    conn.execute("COMMIT")
    conn.close()
    say("released")


def leave(path: str, count: str) -> None:
    """Save turns and end without closing anything."""
    store = Store(path, patience=0.2)
    conversation = store.create("left")
    for number in range(int(count)):
        store.save(conversation, Turn(f"left {number}", state="complete"))
    say("leaving")


def limited(path: str) -> None:
    """Meet a limit on the size of files, then have it lifted."""
    store = Store(path)
    conversation = store.create("limited")
    store.save(conversation, Turn("before", state="complete")).result(10)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    first = store.save(conversation, Turn("big", reply="x" * 500_000, state="complete")).result(10)
    second = store.save(conversation, Turn("after", state="complete")).result(10)
    during = [turn.prompt for turn in store.load("limited").turns]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    flushed = store.flush(10)
    saved = [turn.prompt for turn in store.load("limited").turns]
    say(json.dumps([first, second, during, flushed, saved, store.notices]))


def unwritable(path: str) -> None:
    """Use a file that may only be read, as a user who may only read."""
    if os.getuid() == 0:
        os.setuid(65534)
    store = Store(path)
    old = [turn.prompt for turn in store.load("old").turns]
    outcome = store.save(store.load("old").summary.id, Turn("new", state="complete")).result(10)
    store.create("another")
    both = [turn.prompt for turn in store.load("old").turns]
    names = sorted(each.name for each in store.conversations())
    hits = len(store.search("new")) + len(store.search("old"))
    say(json.dumps([old, outcome, both, names, hits, store.notices]))


def private(path: str, umask: str) -> None:
    """Make a file under a umask and say which modes there were at any time."""
    os.umask(int(umask, 8))
    store = Store(path)
    conversation = store.create("private")
    folder, modes = Path(path).parent, {}
    for number in range(30):
        future = store.save(conversation, Turn(f"{number}", reply="x" * 100_000))
        while not future.done():
            for each in folder.glob("*"):
                try:
                    modes[each.name] = modes.get(each.name, 0) | (each.stat().st_mode & 0o777)
                except FileNotFoundError:
                    continue
    say(json.dumps([folder.stat().st_mode & 0o777, modes]))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
