"""What may be in the HTML of a reply, judged by a browser's own parsing rules (lexbor)."""

from __future__ import annotations

import re
from typing import Any

from selectolax.lexbor import LexborHTMLParser

from gprochat_magic import markdown

_AUTO = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table"}
_BARE = {"blockquote", "br", "code", "em", "hr", "li", "pre", "s", "strong", "bdi", "small"}
_BARE |= {"table", "tbody", "td", "th", "thead", "tr", "div", "span", "a", "style"} | _AUTO
_CLASS = {
    "span": re.compile(r"(k|s|c|m|ow|n[bfcdta]|g[dih]|gp-u|mathjax_process|tex2jax_process| )+"),
    "td": re.compile("gp-[lmr]"),
    "th": re.compile("gp-[lmr]"),
    "div": re.compile("gprochat mathjax_ignore tex2jax_ignore"),
    "p": re.compile("gprochat-note"),
}
_LINK = re.compile(r"https?://[a-z0-9\[][!-~]*|mailto:[!-~]+@[!-~]+", re.IGNORECASE)
_REL = {"noopener", "noreferrer", "nofollow"}
_VALUES = {
    ("a", "target"): re.compile("_blank"),
    ("a", "href"): _LINK,
    ("ol", "start"): re.compile(r"\d{1,9}"),
    ("pre", "dir"): re.compile("ltr"),
}


def checked(html: str, *, styled: bool = False) -> Any:
    """The body of a page with this HTML in it; `styled` allows style sheets of our rules.

    Raises `AssertionError` for any element, attribute, class, target or comment off the list.
    """
    parser = LexborHTMLParser(f"<!doctype html><html><head></head><body>{html}</body></html>")
    body, head = parser.body, parser.head
    assert body is not None
    assert head is not None
    assert not head.html or head.html == "<head></head>", head.html
    assert not body.attributes, body.attributes
    for node in body.traverse(include_text=False):
        if node.tag != "body":
            _check(node, styled=styled)
    return body


def code_of(body: Any) -> list[str]:
    """The text of each block of code, in order."""
    return [node.text(deep=True) for node in body.css("pre > code")]


def is_ours(sheet: str) -> bool:
    """Whether a style sheet is made of the renderer's rules alone."""
    rules = re.findall(r"[^{}]*\{[^{}]*\}", sheet)
    return "".join(rules) == sheet and set(rules) <= set(markdown.RULES)


def _check(node: Any, *, styled: bool) -> None:
    tag = node.tag
    assert tag in _BARE, tag
    if tag == "style":
        assert styled, node.html
        assert is_ours(node.text(deep=True)), node.html
    for name, value in node.attributes.items():
        _check_attribute(tag, name, value or "")
    if tag == "a":
        assert _REL == set((node.attributes.get("rel") or "").split()), node.html


def _check_attribute(tag: str, name: str, value: str) -> None:
    if name == "class":
        assert tag in _CLASS, (tag, value)
        assert _CLASS[tag].fullmatch(value), (tag, value)
    elif name == "dir" and tag in _AUTO:
        assert value == "auto", (tag, value)
    elif (tag, name) != ("a", "rel"):
        allowed = _VALUES.get((tag, name))
        assert allowed is not None, (tag, name)
        assert allowed.fullmatch(value), (tag, name, value)
