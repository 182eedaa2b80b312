"""Keys and passwords in text: each rule by example, what is left alone, and properties."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gprochat_magic.masking import MARGIN, MASK, is_secret_name, masked, masked_head, masked_tail

KEYS = [
    "sk-abcdefgh12345678",
    "sk-proj-Ab_c-DEF0123456789",
    "ghp_" + "a1B2" * 9,
    "github_pat_" + "Ab12_" * 8,
    "glpat-" + "x" * 20,
    "AKIAIOSFODNN7EXAMPLE",
    "AIza" + "Sy0-" * 9,
    "hf_" + "AbCd" * 8,
    "xoxb-123456789012-abcdef",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP",
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "around", ["{}", "a {} b", "x = '{}'", "{{'k': \"{}\"}}", "({}),", "\n{}\n"]
)
def test_a_key_goes_wherever_it_stands(key: str, around: str) -> None:
    """Each kind of key is replaced, in prose, in code and alone; what is around it stays."""
    text, count = masked(around.format(key))

    assert (around.format(MASK), 1) == (text, count)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('password = "hunter2"', 'password = "****"'),
        ("api_key='abc'", "api_key='****'"),
        ("PASSWORD=swordfish", "PASSWORD=****"),
        ("db.password: swordfish", "db.password: ****"),
        ("{'password': 'p w', 'a': 1}", "{'password': '****', 'a': 1}"),
        ('{"api_key": "x1", "n": 2}', '{"api_key": "****", "n": 2}'),
        ('os.environ["API_KEY"] = "x1"', 'os.environ["API_KEY"] = "****"'),
        ("export DB_PASS=abc", "export DB_PASS=****"),
        ('token: str = "abc"', 'token: str = "****"'),
        ('secret = b"x\\"y" + z', 'secret = b"****" + z'),
        ("password = '''tri'''", "password = '''****'''"),
        ("'password = \\'x y\\' and'", "'password = \\'****\\' and'"),
        ('password = "unterminated\nnext', 'password = "****\nnext'),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ****"),
        ("{'Authorization': 'Bearer abc'}", "{'Authorization': 'Bearer ****'}"),
        ("-H 'x: Bearer abcdefgh12'", "-H 'x: Bearer ****'"),
        ("postgres://me:p@ss@host/db", "postgres://****@host/db"),
        ("https://h/?api_key=abc123&x=1", "https://h/?api_key=****&x=1"),
        ("AWS_SECRET_ACCESS_KEY=wJalr/K7MD+x", "AWS_SECRET_ACCESS_KEY=****"),
        ("mysql --password hunter22 -u me", "mysql --password **** -u me"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\n",
            "-----BEGIN RSA PRIVATE KEY-----****-----END RSA PRIVATE KEY-----\n",
        ),
        ("-----BEGIN PRIVATE KEY-----\\nMIIE, cut", "-----BEGIN PRIVATE KEY-----****"),
    ],
)
def test_what_a_name_or_a_form_gives_away(text: str, expected: str) -> None:
    """Assignments, mappings, headers, addresses and key blocks lose just their secret, once."""
    assert (expected, 1) == masked(text)
    assert (expected, 0) == masked(expected)


@pytest.mark.parametrize(
    "text",
    [
        "password = getpass.getpass()",
        "def f(password: str, token: str = None): ...",
        "max_tokens=4096",
        "tokens = tokenizer(text)",
        "login(password=password, token=token)",
        "token = get_token(x)",
        "password = args.password",
        "password = ''",
        "http://localhost:8888/tree",
        "the bearer of this letter",
        "for token in tokens:",
        "git@host:me/x",
        "a risk-averse-investment, a task-force-of-people",
        "secret_key = config.secret_key",
        "password = $PASSWORD",
        "sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "key = 'abc'",
    ],
)
def test_code_and_prose_stay(text: str) -> None:
    """What only looks like a secret is left as it is."""
    assert (text, 0) == masked(text)


@given(st.text(), st.sampled_from(KEYS), st.text())
def test_no_key_is_left_whatever_is_around(before: str, key: str, after: str) -> None:
    """A key set off by spaces is never in what comes out."""
    assert key not in masked(f"{before} {key} {after}")[0]


@given(st.text(alphabet=st.sampled_from("ab =:\"'\\\n*/@.[(passwordtoken-sk")))
def test_masking_twice_changes_nothing_more(text: str) -> None:
    """What was masked stays as it is when it is masked again, and is not counted again."""
    once, _ = masked(text)

    assert masked(once) == (once, 0)


@given(st.integers(0, 60), st.sampled_from(KEYS))
def test_a_cut_shows_no_part_of_a_key(most: int, key: str) -> None:
    """Wherever head or tail is cut, no four characters of the key are seen beyond its prefix."""
    text = "before it: " + key + " and after it"
    pieces = {key[i : i + 6] for i in range(len(key) - 5)}
    for shown in (masked_head(text, most)[0], masked_tail(text, most)[0]):
        assert len(shown) <= most
        assert not any(piece in shown for piece in pieces)


def test_what_was_read_last_is_dropped_with_a_cut() -> None:
    """Masking shortens, and half a key at the end of what was read must not come into view."""
    block = "-----BEGIN PRIVATE KEY-----" + "x" * 3_000 + "-----END PRIVATE KEY-----\n"
    filled = (block * 2).ljust(5_000 + MARGIN - len("sk-canar"))

    assert "sk-canar" not in masked_head(f"{filled}sk-canary0123456789", 5_000)[0]


def test_known_secrets_go_everywhere() -> None:
    """A secret that is known is masked also where nothing gives it away."""
    assert ("xx****yy ****", 2) == masked("xxs3cretyy s3cret", known=["", "s3cret"])


@pytest.mark.parametrize(
    ("name", "secret"),
    [("password", True), ("DB_PASSWORD", True), ("api_key", True), ("conf['token", True),
     ("tokens", False), ("key", False), ("password_length", False)],
)  # fmt: skip
def test_names_of_secrets(name: str, secret: bool) -> None:
    """A variable or column is a secret by how its name ends."""
    assert secret == is_secret_name(name)


@pytest.mark.parametrize(
    "piece",
    ["password", "://", "://a:", "a:", "-----BEGIN PRIVATE KEY-----", "bearer ", "token: ",
     "password=\\", "eyJa-", "password: a.", "token:ab[", "[secret|", "authorization: ", "sk-"],
)  # fmt: skip
def test_hostile_text_takes_linear_time(piece: str) -> None:
    """A hundred kilobytes made to be slow are done at once."""
    began = time.monotonic()
    masked(piece * (100_000 // len(piece)))

    assert time.monotonic() - began < 3
