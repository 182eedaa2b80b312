"""A page of a stranger's, shown in a frame that can do nothing but look like it.

Two frames, each with an empty `sandbox`: no script, form, popup, top navigation or refresh, and an
origin that is nobody's. A content security policy in both allows inline styles and pictures that
are part of the page, and no request. The outer frame is there for links: a policy of the page's own
cannot keep it from going elsewhere, but one of the page that frames it can.
"""

from __future__ import annotations

import re
from html import escape

HEIGHT = 400
LARGEST = 1_000_000
"""Characters of a page that is framed; twice escaped it may grow fivefold."""
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'none'; "
    "frame-src 'none'; form-action 'none'; base-uri 'none'"
)
_HEAD = (
    # The base comes before the policy, which would refuse it. Links within the page work by it, and
    # relative ones, which would be the notebook's own addresses, lead nowhere.
    '<!doctype html><meta charset="utf-8"><base href="about:srcdoc">'
    f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    '<meta name="referrer" content="no-referrer">'
    '<meta http-equiv="x-dns-prefetch-control" content="off">'
)
_OUTER = "<style>html,body,iframe{margin:0;border:0;width:100%;height:100%;display:block}</style>"
_LINK = re.compile("<link", re.IGNORECASE)
_TITLE = "The page of the reply, in a sandbox"


def sandboxed(source: str) -> str:
    """An HTML fragment that shows the page; no element of the page is in the fragment itself."""
    # What JSON cannot carry to the front end would cost the whole output.
    page = source.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    # No policy covers a hint to look up a host or to connect to it, and no other link is of use.
    page = _LINK.sub("<no-link", page)
    inner = f"{_HEAD}{_OUTER}<iframe {_attributes(_HEAD + page)}></iframe>"
    # White, because a page that names no background expects it.
    style = f"width:100%;height:{HEIGHT}px;border:0;background:#fff"
    return f'<iframe {_attributes(inner)} style="{style}"></iframe>'


def _attributes(document: str) -> str:
    return f'sandbox="" referrerpolicy="no-referrer" title="{_TITLE}" srcdoc="{escape(document)}"'
