"""Where a gateway listens: a socket of its owner's, one at a given path, or an address."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import stat
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gprochat_magic import wire
from gprochat_magic.errors import ConfigError
from gprochat_magic.hosts import is_literal, is_loopback

LOOPBACK = "127.0.0.1"
SETTLED = 60.0
"""Seconds after which a folder is no more that of a gateway that is about to listen."""
_SOCKET = "s"


@dataclass(frozen=True)
class Place:
    """A bound socket: the address that clients use, the hosts they name, its file if it has one."""

    bound: socket.socket
    endpoint: str
    hosts: frozenset[str]
    path: str | None = None
    pid: int = 0
    folder: bool = False
    """Whether the file's folder is the gateway's own, and goes with it."""
    port: int = 0

    def names(self, hosts: Sequence[str]) -> frozenset[str]:
        """What may stand in `Host`: our own names and these, with our port or without it."""
        given = [host.lower() for host in hosts]  # as clients send them
        ported = [f"{host}:{self.port}" for host in given if self.port and ":" not in host]
        return self.hosts.union(given, ported)

    async def listen(self, server: Callable[[], asyncio.BaseProtocol]) -> asyncio.Server:
        """Accept connections there."""
        loop = asyncio.get_running_loop()
        if self.path is None:
            return await loop.create_server(server, sock=self.bound)
        return await loop.create_unix_server(server, sock=self.bound)

    def leave(self) -> None:
        """Close the socket and remove its file, which in a forked child is not ours."""
        self.bound.close()
        if self.path is None or self.pid != os.getpid():
            return
        if self.folder:
            shutil.rmtree(Path(self.path).parent, ignore_errors=True)
        else:
            Path(self.path).unlink(missing_ok=True)


def private() -> Place | None:
    """A Unix socket in a new folder of its owner's; None where there is none to be had."""
    if not hasattr(socket, "AF_UNIX"):
        return None
    for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir()):
        if not base:
            continue
        _sweep(Path(base))
        try:
            directory = tempfile.mkdtemp(prefix=_prefix(), dir=base)  # with mode 0700
        except OSError:
            continue
        place = _bind_in(directory)
        if place is not None:
            return place
        shutil.rmtree(directory, ignore_errors=True)
    return None


def _prefix() -> str:
    # Temporary folders may be shared by machines, and nobody hears another's sockets.
    return f"gprochat-{zlib.crc32(socket.gethostname().encode()):08x}-"


def _sweep(base: Path) -> None:
    """Remove the folders of gateways of ours that were killed, as far as that can be told."""
    found: list[Path] = []
    with suppress(OSError):  # what cannot be listed is left as it is
        found = list(base.glob(f"{_prefix()}*"))
    for folder in found:
        with suppress(OSError):
            about = folder.lstat()
            settled = time.time() - about.st_mtime > SETTLED
            if settled and about.st_uid == os.getuid() and not _is_heard(str(folder / _SOCKET)):
                (folder / _SOCKET).unlink(missing_ok=True)
                folder.rmdir()


def _is_heard(path: str) -> bool:
    """Whether somebody may listen on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)  # one that is busy would let us wait
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True


def _bind_in(directory: str) -> Place | None:
    path = str(Path(directory, _SOCKET))
    bound = socket.socket(socket.AF_UNIX)
    try:
        bound.bind(path)
    except OSError:
        # Systems take 103 or 107 bytes, and some file systems take no sockets.
        bound.close()
        return None
    endpoint = f"http://localhost{wire.PATH}"
    return Place(bound, endpoint, frozenset({"localhost"}), path=path, pid=os.getpid(), folder=True)


def at_path(path: str, *, prefix: str = "") -> Place:
    """A Unix socket at a path, for its owner alone.

    What a gateway that died has left there is replaced. Raises `ConfigError` where something else
    is, or nothing can be made.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise ConfigError("this system has no Unix sockets", hint="Use --port.")
    bound = socket.socket(socket.AF_UNIX)
    try:
        _remove_left_over(path)
        mask = os.umask(0o177)
        try:
            bound.bind(path)
        finally:
            os.umask(mask)
        bound.listen()
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"the gateway cannot listen on {path}: {error.strerror or error}",
            hint="Name a free path of at most about 100 characters in a folder of yours.",
        ) from None
    endpoint = f"http://localhost{prefix}{wire.PATH}"
    return Place(bound, endpoint, frozenset({"localhost"}), path=path, pid=os.getpid())


def _remove_left_over(path: str) -> None:
    """Remove a socket that nobody listens on. Raises `OSError` for anything else at that path."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(Path(path).lstat().st_mode):
            raise OSError(errno.EEXIST, "something that is no socket is there")
        if _is_heard(path):
            raise OSError(errno.EADDRINUSE, "another gateway listens there")
        Path(path).unlink()


def tcp(host: str, port: int, *, prefix: str = "") -> Place:
    """An address; port 0 is one of the system's choice. Raises `ConfigError` for one in use."""
    # A name of this machine is not asked for: whoever answers might name another.
    literal = LOOPBACK if is_loopback(host) and not is_literal(host) else host
    family = socket.AF_INET6 if ":" in literal else socket.AF_INET
    try:
        bound = socket.create_server((literal, port), family=family)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"the gateway cannot listen on {host}:{port}: {error}",
            hint="Choose an address of this machine and a free port; 0 is any that is free.",
        ) from error
    port = bound.getsockname()[1]
    shown = f"[{literal}]" if family == socket.AF_INET6 else literal
    names = {shown, "localhost"} if is_loopback(literal) else {shown}
    # Clients leave out the port that http has by default.
    suffix = "" if port == 80 else f":{port}"
    endpoint = f"http://{shown}{suffix}{prefix}{wire.PATH}"
    return Place(bound, endpoint, frozenset(name + suffix for name in names), port=port)
