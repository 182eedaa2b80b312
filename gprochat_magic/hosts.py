"""Names and addresses of hosts: which of them mean this machine, and which can be looked up."""

from __future__ import annotations

import ipaddress

_LONGEST_NAME = 253
"""Characters, by RFC 1035."""


def is_literal(host: str) -> bool:
    """Whether a host is an address, which nobody has to be asked for."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own loopback."""
    name = host.lower().rstrip(".")
    if is_literal(name):
        return ipaddress.ip_address(name).is_loopback
    return name == "localhost" or name.endswith(".localhost")


def is_sound(host: str) -> bool:
    """Whether a host is one that can be looked up: resolvers differ in what they make of others."""
    try:
        coded = host.encode("idna")
    except UnicodeError:
        return False
    return 0 < len(coded.removesuffix(b".")) <= _LONGEST_NAME
