"""Which links a reply may have, and the host that is shown beside them.

A link goes to http, https or mailto. Its real host, in ASCII, stands in the visible text unless the
link's own text begins with it. Everything else that looks like a link stays the text that it is.
"""

from __future__ import annotations

import re

# A user name, an escape or a backslash before the path makes readers and browsers see other hosts.
_WEB = re.compile(
    r"https?://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9._-]*[a-z0-9.])?)(?P<port>:\d{1,5})?"
    r"(?:[/?#][!-~]*)?",
    re.IGNORECASE | re.ASCII,
)
_MAIL = re.compile(r"mailto:(?P<address>[!-~]+@[!-~]+)", re.IGNORECASE | re.ASCII)


def target(url: str) -> str | None:
    """What must be seen of `url`: `host[:port]` or a mail address; None if it may not be a link.

    `url` is percent-encoded and its host is punycode already.
    """
    if web := _WEB.fullmatch(url):
        return f"{web['host']}{web['port'] or ''}".lower()
    if mail := _MAIL.fullmatch(url):
        return mail["address"].partition("?")[0]
    return None


def shows(text: str, where: str) -> bool:
    """Whether a link's visible `text` itself begins with `where`, in characters that look it."""
    seen = text.strip().lower()
    if not seen.isascii() or not seen.isprintable():
        return False
    seen = re.sub(r"^(?:https?://|mailto:)", "", seen)
    return seen == where.lower() or seen.startswith(tuple(where.lower() + end for end in "/?#"))
