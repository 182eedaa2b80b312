"""The demo: honest, obedient to a few words, and safe with any prompt."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from gprochat_magic.errors import ConfigError
from gprochat_magic.gateway.backends import BackendError, open_backend
from gprochat_magic.gateway.backends.demo import LONGEST, Command, Demo, command_in
from gprochat_magic.messages import Messages

ALL = MarkdownIt().enable("table")


def pieces(prompt: str, *, before: Messages | None = None, model: str = "") -> list[str]:
    """The demo's reply to a prompt, in pieces and without delays."""
    messages: Messages = [*(before or []), {"role": "user", "content": prompt}]

    async def collect() -> list[str]:
        return [piece async for piece in Demo(delay=0, slow=0).reply(messages, {"model": model})]

    return asyncio.run(collect())


def reply(prompt: str, *, before: Messages | None = None, model: str = "") -> str:
    """The demo's whole reply to a prompt."""
    return "".join(pieces(prompt, before=before, model=model))


def shape(text: str) -> list[str]:
    """The kinds of blocks outside of quotes."""
    return [token.type for token in ALL.parse(text) if token.level == 0]


def fences(text: str) -> list[str]:
    """The languages of the code blocks."""
    return [token.info for token in ALL.parse(text) if token.type == "fence"]


class TestDemonstration:
    def test_shows_what_replies_hold(self) -> None:
        """An ordinary prompt gets headings, a quote, a table, code, a list and maths."""
        text = reply("hello")

        assert {"heading_open", "blockquote_open", "table_open", "fence", "ordered_list_open"} <= {
            *shape(text)
        }
        assert "$$" in text
        assert "> hello\n" in text

    def test_says_that_it_is_a_demo(self) -> None:
        """Every kind of reply says what it is, in the language of the prompt."""
        for prompt in ("hello", "help", "code", "json", "long 500"):
            assert "demo" in reply(prompt)[:200]
        assert "Это демонстрация" in reply("Привет, как дела?")
        assert "This is a demo" in reply("translate: привет")

    def test_counts_turns_and_names_the_system_prompt(self) -> None:
        """The user's turns are counted, and a system prompt is mentioned."""
        before: Messages = [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"},
        ]

        assert "You sent 2 turns, and a system prompt" in reply("three", before=before)
        assert "You sent 1 turn, without a system prompt" in reply("one")
        assert "Реплик от вас: 2, вместе с системной инструкцией" in reply("три", before=before)

    def test_names_the_model_that_was_asked_for(self) -> None:
        """A model that was asked for is named, one that is no name is not."""
        assert "`ollama/llama3.2:1b`" in reply("hello", model="ollama/llama3.2:1b")
        assert "asked for" not in reply("hello", model="a`b")

    def test_comes_in_pieces_of_a_few_words(self) -> None:
        """The reply comes in many pieces, none of them empty or large."""
        parts = pieces("hello")

        assert len(parts) > 20
        assert all(0 < len(part) < 60 for part in parts)

    @pytest.mark.parametrize(
        "prompt",
        [
            "```python\nx = {",
            "~~~~\nopen",
            "> > - 1. quote",
            "a {b} {{c}} %s %(d)s $e {0}",
            "<div><!-- <script>",
            "| a | b |\n|---|---|",
            "# heading\n===\n---",
            "line\r\nline\rline\n\n\n    code",
            "`" * 7,
            "\\",
            "[a]: https://example.com",
            "",
        ],
    )
    def test_no_prompt_breaks_the_reply(self, prompt: str) -> None:
        """What a prompt opens ends with its quote: the blocks around it stay as they are."""
        assert shape(reply("hello")) == shape(reply(prompt))

    @settings(deadline=None)
    @given(st.text(alphabet="`~>#-|<![]{}$\\ \n\r\t1.a", max_size=40))
    def test_nor_does_any_other(self, prompt: str) -> None:
        """The same holds for prompts made of nothing but marks."""
        assert shape(reply("hello")) == shape(reply("." + prompt))

    def test_braces_come_back_as_they_were(self) -> None:
        """A prompt is quoted character by character."""
        assert "> f'{x!r:>{width}}' {{ y }} ${z}" in reply("f'{x!r:>{width}}' {{ y }} ${z}")


class TestCommands:
    @pytest.mark.parametrize(
        ("prompt", "command"),
        [
            ("help", Command("help")),
            ("  CODE \n", Command("code")),
            ("json\nand more", Command("json")),
            ("slow", Command(slow=True)),
            ("slow long 500", Command("long", 500, slow=True)),
            ("slow tell me more", Command(slow=True)),
            ("long 5000", Command("long", 5000)),
            ("error 503", Command("error", 503)),
            ("error 200", Command()),
            ("error handling in Python", Command()),
            ("long story", Command()),
            (f"long {LONGEST + 1}", Command()),
            ("long " + "9" * 5000, Command()),
            ("long ²", Command()),
            ("cut the following text", Command()),
            ("code a parser", Command()),
            ("slowly", Command()),
            ("", Command()),
        ],
    )
    def test_only_alone_on_the_first_line(self, prompt: str, command: Command) -> None:
        """A word is a command only where nothing else stands beside it."""
        assert command == command_in(prompt)

    def test_help_lists_all(self) -> None:
        """The help names every command in a table."""
        text = reply("help")

        assert "table_open" in shape(text)
        for word in ("help", "slow", "long 5000", "error 429", "code", "json", "cut"):
            assert f"`{word}`" in text

    @pytest.mark.parametrize("length", [1, 99, 5000, 1_000_000])
    def test_long_is_exact(self, length: int) -> None:
        """`long` gives that many characters, in a bounded number of pieces."""
        parts = pieces(f"long {length}")

        assert length == len("".join(parts))
        assert len(parts) <= 301

    def test_code(self) -> None:
        """`code` gives Python, prose and a shell command."""
        assert ["python", "bash"] == fences(reply("code"))

    def test_json(self) -> None:
        """`json` gives one sound JSON value between two sentences."""
        text = reply("json")
        block = next(token.content for token in ALL.parse(text) if token.type == "fence")

        assert "demo" == json.loads(block)["name"]
        assert ["paragraph_open", "paragraph_close"] == shape(text)[-2:]

    @pytest.mark.parametrize(("status", "wait"), [(429, True), (401, False), (503, False)])
    def test_error(self, status: int, wait: bool) -> None:
        """`error` gives the status before any text; 429 says how long to wait."""
        with pytest.raises(BackendError) as caught:
            reply(f"error {status}")

        assert (status, wait) == (caught.value.status, caught.value.retry_after is not None)

    def test_cut(self) -> None:
        """`cut` breaks off after some text."""
        parts = []

        async def collect() -> None:
            async for piece in Demo(delay=0).reply([{"role": "user", "content": "cut"}], {}):
                # One by one: a comprehension would lose those that came before the error.
                parts.append(piece)  # noqa: PERF401

        with pytest.raises(BackendError):
            asyncio.run(collect())

        assert len(parts) > 2

    def test_slow_takes_its_time(self) -> None:
        """`slow` uses the longer of the two delays."""
        slow = Demo(delay=0, slow=3600)

        async def second_piece() -> None:
            parts = slow.reply([{"role": "user", "content": "slow"}], {})
            assert await anext(parts)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(parts), 0.05)

        asyncio.run(second_piece())


def test_the_table_of_backends() -> None:
    """A backend is opened by its name; an unknown name says which there are."""
    assert "demo" == open_backend("demo").name
    with pytest.raises(ConfigError) as caught:
        open_backend("nobody")

    assert "demo" in caught.value.hint
