"""Markdown from a stranger, as a browser reads it."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from gprochat_magic import markdown
from tests.fuzz import rendering, walls
from tests.payloads import PAYLOADS
from tests.properties import tried

HOSTILE = st.sampled_from([text for _, text in PAYLOADS])
BLOCKS = ["\n$$\n", "\n# a\n", "\n- b\n", "\n\n> c\n", "\n```\n"]
PIECE = st.sampled_from(
    [*rendering.WORDS, *BLOCKS, "\n", "\n\n", "    ", "\t", "\r\n", "\0", "word"]
) | st.text(max_size=4)


@st.composite
def replies(draw: st.DrawFn) -> str:
    """Pieces of Markdown and of attacks, which may begin in the middle of each other."""
    parts = draw(st.lists(HOSTILE | PIECE, max_size=12))
    if len(parts) > 1:
        parts[0] = parts[0][draw(st.integers(0, len(parts[0]))) :]
        parts[-1] = parts[-1][: draw(st.integers(0, len(parts[-1])))]
    return "".join(parts)


@tried()
@given(replies(), st.booleans())
def test_F120_nothing_live_in_a_browser(text: str, live: bool) -> None:
    """By a browser's own rules no element, attribute or target off the list, and none is moved."""
    body = walls.checked(markdown.document(text, note=text, live=live), styled=True)

    assert ["gprochat mathjax_ignore tex2jax_ignore"] == [
        node.attributes.get("class") for node in body.iter(include_text=False)
    ]


@tried()
@given(replies(), replies(), st.sampled_from(["", "python", "html", "diff", "x"]))
def test_F123_code_is_shown_as_it_is_handed_over(text: str, source: str, language: str) -> None:
    """Each fenced block is in the page, exactly and in order."""
    rendering.check_fences(f"{text}\n\n~~~~{language}\n{source}\n \n~~~~\n")


@tried(0.6)
@given(replies())
@example("$$\n# a\n# b\n# c\nd\n$$\n")
def test_growing_equals_whole(text: str) -> None:
    """However a reply is cut, its last frame is that of the whole, and each frame is safe."""
    rendering.check_growing(text)
    rendering.check_growing(text[:100], alone=True)


@tried()
@given(replies())
def test_F56_a_terminal_gets_no_control(text: str) -> None:
    """What is printed is the same in pieces, and holds no control character."""
    rendering.check_terminal(text)
