"""Names and addresses of hosts: which of them mean this machine, and which can be looked up."""

from __future__ import annotations

import ipaddress

_LONGEST_NAME, _LONGEST_LABEL = 253, 63
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
    """Whether a host is one that resolvers take; what some refuse, others look up in vain."""
    name = host.removesuffix(".")
    labels = name.split(".")
    return len(name) <= _LONGEST_NAME and all(0 < len(label) <= _LONGEST_LABEL for label in labels)
