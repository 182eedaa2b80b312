"""The embedded gateway: a signed endpoint on this machine, in front of a backend."""

from gprochat_magic.gateway.server import Gateway, start

__all__ = ["Gateway", "start"]
