"""`gprochat ask`: a prompt from the command line, or piped in, and its reply on stdout."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gprochat_magic.cli import numbers
from gprochat_magic.terminal import PlainStream

if TYPE_CHECKING:
    from gprochat_magic.chat import Chat
    from gprochat_magic.sending import Options

Fail = Callable[[str], object]


def arguments(command: argparse.ArgumentParser) -> None:
    """What may follow the command."""
    add = command.add_argument
    add("text", nargs="*", help="the prompt; what is piped in follows it")
    add("-c", "--conversation", default="", metavar="NAME", help="go on there, or begin it")
    add("-m", "--model", help="the model to ask")
    add("-s", "--system", help="instructions for the model")
    add(
        "-n", "--turns", type=numbers.turns, metavar="N|all", help="how many earlier turns go along"
    )
    add("--no-history", action="store_true", help="send no earlier turn and keep nothing")
    add("-t", "--temperature", type=float, help="how freely the model writes, 0 to 2")
    add("--max-tokens", type=numbers.whole, metavar="N", help="the longest reply, in tokens")
    add("--timeout", type=float, metavar="SECONDS", help="for the whole reply")


def run(given: argparse.Namespace, fail: Fail) -> int:
    """Send the prompt and stream its reply. Raises `GPROChatError`s and `ReplyInterrupted`."""
    from gprochat_magic import conversations
    from gprochat_magic.chat import Chat
    from gprochat_magic.sending import Options  # brings aiohttp

    prompt = _prompt(given.text)
    if not prompt.strip():
        fail("there is no prompt: gprochat ask TEXT, or pipe it in")
    if given.no_history and (given.conversation or given.turns is not None):
        fail("--no-history: a conversation or its turns are asked for too")
    named = {"temperature": given.temperature, "max_tokens": given.max_tokens}
    options = Options(
        model=given.model,
        system=given.system,
        turns=given.turns,
        history=not given.no_history,
        timeout=given.timeout,
        parameters={name: value for name, value in named.items() if value is not None},
    )
    try:
        _write_reply(Chat(given.conversation), prompt, options)
    finally:
        conversations.close()
    return 0


def _write_reply(chat: Chat, prompt: str, options: Options) -> None:
    """Stream a reply to stdout as it comes; its end, whatever it is, is kept."""
    run = chat.start(prompt, options)
    shown = PlainStream()
    last = "\n"
    try:
        for events in chat.batches(run):
            # What a stranger's text could do to a terminal, it does not do here.
            text = "".join(shown.feed(event) for event in events if isinstance(event, str))
            sys.stdout.write(text)
            sys.stdout.flush()
            last = text[-1:] or last
    finally:
        run.stream.cancel()
        run.stream.wait()
        if last != "\n" and sys.exc_info()[0] is not BrokenPipeError:
            sys.stdout.write("\n")
    reply = run.reply()
    if sys.stderr.isatty():
        who = [reply.model or reply.backend, *reply.notes]
        sys.stderr.write(f"({', '.join(filter(None, who))})\n")


def _prompt(words: Sequence[str]) -> str:
    piped = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
    return "\n\n".join(filter(None, [" ".join(words), piped.rstrip("\n")]))
