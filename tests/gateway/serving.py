"""`python -m gprochat_magic serve` as a process of its own, and what it says."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from secrets import token_hex
from typing import Any

from gprochat_magic import GPROChat
from gprochat_magic.config import Secret

PATIENCE = 30


class Serving:
    """A running command: where it listens, what signs for it, and the lines that it wrote."""

    def __init__(self, process: subprocess.Popen[str], secret: str) -> None:
        self.process = process
        self.secret = Secret(secret)
        self.socket: str | None = None
        self.said: list[str] = []
        self.logged: list[str] = []
        self._changed = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(process.stderr, self.said)),
            threading.Thread(target=self._read, args=(process.stdout, self.logged)),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, pipe: Iterator[str], lines: list[str]) -> None:
        for line in pipe:
            with self._changed:
                lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, pattern: str, *, times: int = 1) -> str:
        """The line, said or logged, in which the pattern is found, as soon as it is."""
        found: list[str] = []

        def there() -> bool:
            found[:] = [line for line in self.said + self.logged if re.search(pattern, line)]
            return len(found) >= times or self.process.poll() is not None

        with self._changed:
            self._changed.wait_for(there, PATIENCE)
        assert len(found) >= times, f"{pattern!r} is not in {self.said} {self.logged}"
        return found[times - 1]

    @property
    def endpoint(self) -> str:
        """The address for GPROCHAT_API_ENDPOINT, as it was said."""
        return self.wait_for("GPROCHAT_API_ENDPOINT=").partition("=")[2]

    @property
    def place(self) -> str:
        """Where it really listens, as it was said."""
        return self.wait_for("listens on").partition("listens on ")[2].partition(";")[0]

    async def ask(
        self, prompt: str = "json", *, secret: str = "", model: str = "", **options: Any
    ) -> str:
        """What the package's own client gets from it."""
        pieces = GPROChat.create_async_generator(
            model,
            [{"role": "user", "content": prompt}],
            api_endpoint=self.endpoint,
            secret_key=secret or self.secret.reveal(),
            **options,
        )
        return "".join([piece async for piece in pieces])

    def end(self, number: int = signal.SIGTERM) -> int:
        """Tell it to end; its exit code."""
        self.process.send_signal(number)
        return self.over()

    def over(self) -> int:
        """The exit code, once it has ended and all it wrote is read."""
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return code


@contextlib.contextmanager
def serving(
    *arguments: str,
    secret: str | None = None,
    ready: bool = True,
    own_port: bool = True,
    **environment: str,
) -> Iterator[Serving]:
    """The command with these arguments, on a port of the system's choice unless they name one.

    With `own_port` False that is left to the environment. `secret` goes into its environment
    (None: one made up, empty: none); `ready` waits until it listens.
    """
    secret = token_hex(32) if secret is None else secret
    named = {"--port", "--socket"} & set(arguments) or not own_port
    place = () if named else ("--port", "0")
    process = subprocess.Popen(
        [sys.executable, "-m", "gprochat_magic", "serve", *place, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "GPROCHAT_SECRET_KEY": secret, **environment},
    )
    running = Serving(process, secret)
    try:
        if ready:
            running.wait_for("GPROCHAT_SECRET_KEY")
        yield running
    finally:
        process.kill()
        running.over()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
