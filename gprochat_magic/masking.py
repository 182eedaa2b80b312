"""Keys and passwords in text that is about to leave: what they look like, and `****` for them.

Rules, not guesses about randomness: what is masked can be read off the table, and a hash, a file
name or a sentence is left alone. Masking twice gives what masking once gave.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "****"
MARGIN = 4_000
"""Characters read beyond a cut, so that a key that lies across it is seen whole."""

_NAME = (
    r"(?:password|passwd|passphrase|pwd|(?<=[a-z]_)pass|secret|token|credentials?|authorization"
    r"|(?:api|secret|private|signing|encryption|access|auth|account)[_-]?(?:access[_-]?)?key"
    r"(?:[_-]?id)?)"
)
_ENDS_NAME = r"(?:\\*[\"'])?\]?[ \t]*"
_GIVES = r"(?::[ \t]*[\w.\[\]|, ]{1,40}?=(?!=)|:=|=>|==?|:)[ \t]*"
_QUOTE = r"(?>\\*(?:\"\"\"|'''|\"|'))"
_UNMASKED = r"(?!(?:\w+ )?\*{4})"
_CODE = r"(?!(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*[(\[]|(?:[A-Za-z_]\w*\.)+[A-Za-z_]\w*(?![^\s,;&)]))"
_NO_VALUE = (
    r"(?!(?:None|null|nil|True|False|true|false|str|bytes|string|int|float|bool|Any|object|\w*"
    r"(?:password|passwd|secret|token|key)|required|optional|\$|<|%)(?![^\s,;&)\]}]))"
)
_BARE = r"[^\s\"'`(){}\[\],;&<>$%][^\s\"'`(){}\[\],;&<>]"

RULES: tuple[tuple[str, str], ...] = (
    (
        "a private key",
        (
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?!\*{4})(?P<secret>.*?)"
            r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)"
        ),
    ),
    ("a key of a model's service", r"(?<![A-Za-z0-9])(?P<secret>sk-[\w-]{8,})"),
    ("a key of a service", r"(?<![A-Za-z0-9])(?P<secret>[rp]k-[\w-]{16,})"),
    ("a key of a model's service", r"\b(?P<secret>(?:gsk|hf|r8|nvapi)[_-][A-Za-z0-9_-]{16,})"),
    ("a key of Google's", r"\b(?P<secret>AIza[\w-]{30,})"),
    ("a key of Amazon's", r"\b(?P<secret>(?:AKIA|ASIA)[A-Z0-9]{12,})"),
    (
        "a token of a code host",
        r"\b(?P<secret>(?:gh[pousr]_|github_pat_|glpat-|npm_|pypi-)[\w-]{16,})",
    ),
    ("a token of a chat", r"\b(?P<secret>xox[abeoprs]-[\w-]{10,})"),
    ("a key of a payment", r"\b(?P<secret>[rs]k_(?:live|test)_\w{10,})"),
    ("a signed token", r"(?<![\w-])(?P<secret>eyJ[\w-]{10,}\.[\w-]{8,}(?:\.[\w-]*)?)"),
    (
        "a header of rights",
        (
            rf"(?i:\bauthorization){_ENDS_NAME}[:=,][ \t]*(?:\\*[\"'])?"
            rf"(?i:basic|bearer|token|digest)[ \t]+{_UNMASKED}(?P<secret>[^\s\"'\\]+)"
        ),
    ),
    (
        "a bearer's token",
        (
            rf"(?i:\bbearer)[ \t]+{_UNMASKED}(?P<secret>(?=[\w.~+/=-]{{0,200}}\d)[\w.~+/=-]{{8,}}"
            r"|[\w.~+/=-]{20,})"
        ),
    ),
    ("an address with a password", rf"://{_UNMASKED}(?P<secret>[^\s/\"'@:]*:[^\s/\"']+)@"),
    (
        "a quoted value",
        (
            rf"(?i:{_NAME}){_ENDS_NAME}{_GIVES}[bBrRfFuU]{{0,2}}(?P<open>{_QUOTE})(?!(?P=open)){_UNMASKED}"
            r"(?P<secret>(?:\\.|[^\\\n])+?)(?:(?P=open)|$)"
        ),
    ),
    (
        "a bare password",
        (
            r"(?i:password|passwd|passphrase|pwd|(?<=[a-z]_)pass)"
            rf"{_ENDS_NAME}{_GIVES}{_UNMASKED}{_CODE}{_NO_VALUE}(?P<secret>{_BARE}{{2,}})"
        ),
    ),
    (
        "a bare key",
        (
            rf"(?i:{_NAME}){_ENDS_NAME}{_GIVES}{_UNMASKED}{_CODE}{_NO_VALUE}"
            rf"(?P<secret>(?={_BARE}{{0,200}}\d|{_BARE}{{19}}){_BARE}{{4,}})"
        ),
    ),
    (
        "an option of a command",
        (
            r"(?i:--?(?:password|passwd|pass|token|secret|api-?key))[ \t]+(?![-$<{(]|\*{4})"
            r"(?P<open>[\"']?)(?P<secret>[^\s\"']{4,})(?P=open)"
        ),
    ),
)
"""What each rule is about, and its pattern; the group `secret` is what goes."""

_RULES = [re.compile(pattern, re.DOTALL | re.MULTILINE) for _, pattern in RULES]
_SECRET_NAME = re.compile(rf"(?i:{_NAME})\Z")


def masked(text: str, *, known: Iterable[str] = ()) -> tuple[str, int]:
    """The text with keys and passwords replaced by `****`, and how many were.

    `known` are secrets to be masked wherever they stand, such as the one that signs requests.
    """
    count = 0
    for secret in filter(None, known):
        count += text.count(secret)
        text = text.replace(secret, MASK)
    for rule in _RULES:
        text, found = rule.subn(_hide, text)
        count += found
    return text, count


def masked_head(text: str, most: int, *, known: Iterable[str] = ()) -> tuple[str, int]:
    """The beginning of a text, masked and then cut, so that a cut shows no part of a key."""
    clean, count = masked(text[: most + MARGIN], known=known)
    return clean[: _room(text, clean, most)], count


def masked_tail(text: str, most: int, *, known: Iterable[str] = ()) -> tuple[str, int]:
    """The end of a text, masked and then cut."""
    clean, count = masked(text[-(most + MARGIN) :], known=known)
    return clean[len(clean) - min(len(clean), _room(text, clean, most)) :], count


def _room(text: str, clean: str, most: int) -> int:
    # Masking shortens: what was read last may hold half a key, and must not come into view.
    return most if len(text) <= most + MARGIN else max(0, min(most, len(clean) - MARGIN))


def is_secret_name(name: str) -> bool:
    """Whether a variable or column of that name holds what must not leave."""
    return _SECRET_NAME.search(name) is not None


def _hide(match: re.Match[str]) -> str:
    start, end = match.span("secret")
    whole, first = match.string, match.start()
    return whole[first:start] + MASK + whole[end : match.end()]
