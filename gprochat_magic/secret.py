"""What must not show: a key, and what may be secret in an address."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from gprochat_magic.hosts import is_sound


class Secret:
    """A key that shows as `Secret(****)` however it is printed, formatted, copied or pickled."""

    __slots__ = ("__value",)

    def __init__(self, value: str = "") -> None:
        self.__value = value

    def reveal(self) -> str:
        """The key itself, for the one call that signs."""
        return self.__value

    def __bool__(self) -> bool:
        return bool(self.__value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self.__value

    def __hash__(self) -> int:
        return hash(self.__value)

    def __repr__(self) -> str:
        return "Secret(****)" if self.__value else "Secret()"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce__(self) -> tuple[type[Secret], tuple[()]]:
        # A pickle is a file: it carries the fact that there was a key, never the key.
        return Secret, ()


class Url(str):
    """An address whose `repr` leaves out what may be secret in it: user, password and query.

    Listings of the settings and verbose tracebacks show that; as text it is whole.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        if "://" not in self:
            return super().__repr__()
        try:
            parts = urlsplit(self)
        except ValueError:
            return "'****'"
        host = host_of(self)
        return repr(
            parts._replace(
                netloc=f"****@{host}" if "@" in parts.netloc else host,
                query="****" if parts.query else "",
                fragment="",
            ).geturl()
        )


def is_address(text: str) -> bool:
    """Whether text is an absolute http or https URL with a host and a sound port."""
    try:
        parts = urlsplit(text)
        sound = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and is_sound(parts.hostname or "") and sound


def has_password(address: str) -> bool:
    """Whether an address names a user or carries a query, either of which may be secret."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return True
    return "@" in parts.netloc or bool(parts.query)


def host_of(address: str) -> str:
    """The host and port of an address, for people: a URL may hold more than may be shown."""
    return urlsplit(address).netloc.rpartition("@")[2]
