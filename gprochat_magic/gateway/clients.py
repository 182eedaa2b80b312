"""Whose secrets a gateway accepts: given in code, or read from a private file with names.

A line of the file is `name:secret`; blank lines and those that begin with `#` say nothing. A name
has at most two secrets, so that one can be replaced by the other without anybody being refused.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gprochat_magic.config import Secret
from gprochat_magic.errors import ConfigError

SECRET_LENGTH = 32
PER_NAME = 2
"""How many secrets a name may have at a time."""
LARGEST = 2**20
_NAME = re.compile(r"[^\s:#]{1,64}")


@dataclass(frozen=True)
class Client:
    """Someone who may ask: a name for the log and the limits, and a secret."""

    name: str
    secret: Secret


def unnamed(secrets: Iterable[str]) -> tuple[Client, ...]:
    """The clients with these secrets, who are all one."""
    return tuple(Client("", Secret(secret)) for secret in secrets)


def check(clients: Sequence[Client]) -> None:
    """Raise `ConfigError`, without repeating it, for a secret that anyone could forge with."""
    if not clients:
        raise ConfigError("the gateway has no secret", hint=HOW_TO_MAKE_ONE)
    for client in clients:
        whose = f"the secret of {client.name}" if client.name else "a secret"
        if ":" in client.secret.reveal():
            raise ConfigError(f"{whose} has a ':', which is ambiguous", hint=HOW_TO_MAKE_ONE)
        if len(client.secret.reveal()) < SECRET_LENGTH:
            raise ConfigError(
                f"{whose} has less than {SECRET_LENGTH} characters", hint=HOW_TO_MAKE_ONE
            )


HOW_TO_MAKE_ONE = "Make one: python -c 'import secrets; print(secrets.token_hex(32))'"


class SecretsFile:
    """A file of names and secrets that is read again when it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_as: object = None

    def changed(self) -> bool:
        """Whether the file is another than when it was read last. Quick."""
        return _mark(self._path) != self._read_as

    def read(self) -> tuple[Client, ...]:
        """Everyone in the file.

        Raises `ConfigError` for a file that others can read, or that is not as it must be; no
        secret is repeated.
        """
        # Before reading: what is written meanwhile is then read once more.
        self._read_as = _mark(self._path)
        clients = _parsed(_private_text(self._path), self._path.name)
        check(clients)
        return clients


def _mark(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _private_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            if os.name == "posix" and stat.S_IMODE(about.st_mode) & 0o077:
                raise ConfigError(
                    f"{path} can be read by others", hint=f"Make it private: chmod 600 {path}"
                )
            return file.read(LARGEST).decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}", hint="Check its name and its owner."
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not text in UTF-8", hint=_FORM) from None


def _parsed(text: str, file: str) -> tuple[Client, ...]:
    clients: list[Client] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, colon, secret = line.partition(":")
        if not colon or not _NAME.fullmatch(name) or not name.isprintable():
            raise ConfigError(f"line {number} of {file} is not name:secret", hint=_FORM)
        clients.append(Client(name, Secret(secret.strip())))
    _check_counts(clients, file)
    return tuple(clients)


def _check_counts(clients: Sequence[Client], file: str) -> None:
    for name, count in Counter(client.name for client in clients).items():
        if count > PER_NAME:
            raise ConfigError(
                f"{name} has {count} secrets in {file}", hint="Two at most: the old and the new."
            )
    if len({client.secret for client in clients}) < len(clients):
        raise ConfigError(f"a secret stands twice in {file}", hint="Each is one person's own.")


_FORM = "One line for each: name:secret, at most two with the same name; # begins a remark."
