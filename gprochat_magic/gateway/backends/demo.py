"""A backend that needs no model: it says so, shows what replies can hold, and obeys a few words."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, NamedTuple

from gprochat_magic.gateway.backends import BackendError
from gprochat_magic.messages import Messages, text_of

LONGEST = 20_000_000
"""Characters that `long` gives at most; more than a client takes."""
_PIECES = 300
_QUOTED = 2_000
_RETRY_AFTER = 2.0


class Demo:
    """Answers at once and the same way for everybody. Delays are seconds per piece of text."""

    name = "demo"

    def __init__(self, *, delay: float = 0.015, slow: float = 0.1) -> None:
        self._delay = delay
        self._slow = slow

    def models(self) -> list[str]:
        """Itself alone: whatever model is asked for, the demo answers."""
        return [self.name]

    async def reply(self, messages: Messages, options: Mapping[str, Any]) -> AsyncIterator[str]:
        """A demonstration, or what the last prompt's first line commands; see `help`.

        Raises `BackendError` where the prompt asks for an error or a broken reply.
        """
        prompts = [text_of(message) for message in messages if message["role"] == "user"]
        prompt = prompts[-1] if prompts else ""
        command = command_in(prompt)
        if command.word == "error":
            raise _asked_for(command.number)
        say = _RUSSIAN if _is_russian(prompt) else _ENGLISH
        if command.word == "long":
            text = _long(command.number)
        elif command.word:
            text = say[command.word]
        else:
            system = any(message["role"] == "system" for message in messages)
            text = _demonstration(say, prompt, turns=len(prompts), system=system)
            text += _asked_model(say, str(options.get("model", "")))
        delay = self._slow if command.slow else self._delay
        text = _cut(text, options.get("max_tokens"))
        for number, piece in enumerate(_pieces(text)):
            # The first text comes at once.
            await asyncio.sleep(delay if number else 0)
            yield piece
        if command.word == "cut":
            raise BackendError(502, "the demo broke off, as it was asked to")


class Command(NamedTuple):
    """What a prompt's first line commands: a word (empty: nothing), its number, and slowness."""

    word: str = ""
    number: int = 0
    slow: bool = False


def command_in(prompt: str) -> Command:
    """The command in a prompt. A line with any further words is a prompt like every other."""
    words = (prompt.strip().splitlines() or [""])[0].lower().split()
    slow = words[:1] == ["slow"]
    match words[1:] if slow else words:
        case [("help" | "code" | "json" | "cut") as word]:
            return Command(word, 0, slow)
        case ["long", number] if _fits(number, 1, LONGEST):
            return Command("long", int(number), slow)
        case ["error", number] if _fits(number, 400, 599):
            return Command("error", int(number), slow)
    return Command(slow=slow)


def _fits(number: str, least: int, most: int) -> bool:
    return number.isdecimal() and len(number) <= len(str(most)) and least <= int(number) <= most


def _asked_for(status: int) -> BackendError:
    retry_after = _RETRY_AFTER if status == 429 else None
    return BackendError(status, f"the demo answers {status}, as it was asked to", retry_after)


def _is_russian(prompt: str) -> bool:
    letters = [character for character in prompt if character.isalpha()]
    return 2 * sum("\u0400" <= letter <= "\u04ff" for letter in letters) > len(letters)


def _demonstration(say: Mapping[str, str], prompt: str, *, turns: int, system: bool) -> str:
    # Joined, never formatted: the prompt may hold any braces.
    told = say["one turn"] if turns == 1 else say["turns"] + str(turns) + say["of turns"]
    told += say["system"] if system else say["no system"]
    return "\n\n".join([say["start"], told, _quote(prompt), say["rest"]])


def _asked_model(say: Mapping[str, str], model: str) -> str:
    return say["model"] + f"`{model}`." if re.fullmatch(r"[\w./:@-]+", model) else ""


def _quote(prompt: str) -> str:
    """The prompt as a block of its own: what is opened in it, a fence or a list, ends with it."""
    shown = prompt if len(prompt) <= _QUOTED else prompt[:_QUOTED] + "…"
    return "\n".join(f"> {line}" for line in re.split(r"\r\n|\r|\n", shown))


def _cut(text: str, tokens: object) -> str:
    """As much of the text as so many tokens hold, at four characters each."""
    if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens > 0:
        return text[: 4 * tokens]
    return text


def _long(length: int) -> str:
    paragraph = "The demo goes on and on, as it was asked to, since no model is behind it.\n\n"
    return (paragraph * (length // len(paragraph) + 1))[:length]


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces of about three words, larger ones where they would become too many."""
    least = max(12, len(text) // _PIECES)
    start = 0
    for gap in re.finditer(r"\s+", text):
        if gap.end() - start >= least:
            yield text[start : gap.end()]
            start = gap.end()
    if start < len(text):
        yield text[start:]


_SAMPLES = """\
```python
squares = [number * number for number in range(5)]
print(squares)
```"""

_BASH = """\
```bash
echo "shown, never run by itself"
```"""

_JSON = """\
```json
{"name": "demo", "model": null, "numbers": [1, 2, 3], "nested": {"works": true}}
```"""

_MATHS = r"""$$\sum_{k=1}^{n} k = \frac{n(n+1)}{2}$$"""

_ENGLISH = {
    "start": "# A reply from the demo\n\n"
    "**This is a demo: no language model has read your prompt.** "
    "It shows what a reply can look like. Send `help` for what else it can do.\n\n## What was sent",
    "one turn": "You sent 1 turn",
    "turns": "You sent ",
    "of turns": " turns",
    "system": ", and a system prompt with it. The last one:",
    "no system": ", without a system prompt. The last one:",
    "rest": "## What a reply can hold\n\n"
    "| Part | Looks like |\n| --- | --- |\n| strong | **words** |\n| code | `x = {1: 2}` |\n\n"
    f"{_SAMPLES}\n\nMaths in a line, $e^{{i\\pi}} + 1 = 0$, or on its own:\n\n{_MATHS}\n\n"
    "1. text that grows as it arrives,\n2. a list,\n3. and an end that can be proven.",
    "model": "\n\nThe model asked for was ",
    "help": "# What the demo obeys\n\nIt is a demo without a language model. "
    "One of these alone on the first line of a prompt:\n\n"
    "| Command | What comes |\n| --- | --- |\n"
    "| `help` | this table |\n"
    "| `slow` | 0.1 seconds for each piece; any prompt or command may follow |\n"
    "| `long 5000` | that many characters |\n"
    "| `error 429` | that status, from 400 to 599, in place of a reply |\n"
    "| `code` | Python, prose and a shell command |\n"
    "| `json` | JSON between two sentences |\n"
    "| `cut` | a reply that breaks off |\n\n"
    "Every other prompt is quoted in a reply with headings, a table, code, maths and a list.",
    "code": "The demo, which is no language model, shows some Python:\n\n"
    f"{_SAMPLES}\n\nIt prints the first five squares. For a shell:\n\n{_BASH}",
    "json": f"The demo always gives this JSON:\n\n{_JSON}\n\nThe text goes on after it.",
    "cut": "# A reply that breaks off\n\nThe demo was asked to stop midway, and the next word",
}

_RUSSIAN = _ENGLISH | {
    "start": "# Ответ демонстрации\n\n**Это демонстрация: языковая модель ваш запрос не читала.** "
    "Здесь видно, каким бывает ответ. Что ещё можно попробовать, расскажет `help`.\n\n"
    "## Что было отправлено",
    "one turn": "Реплик от вас: 1",
    "turns": "Реплик от вас: ",
    "of turns": "",
    "system": ", вместе с системной инструкцией. Последняя:",
    "no system": ", без системной инструкции. Последняя:",
    "rest": "## Что бывает в ответе\n\n"
    "| Часть | Как выглядит |\n| --- | --- |\n| выделение | **слова** |\n| код | `x = {1: 2}` |\n\n"
    f"{_SAMPLES}\n\nФормула в строке, $e^{{i\\pi}} + 1 = 0$, и отдельно:\n\n{_MATHS}\n\n"
    "1. текст, который растёт по мере поступления,\n2. список,\n3. и доказуемый конец.",
    "model": "\n\nЗапрошена модель ",
}
