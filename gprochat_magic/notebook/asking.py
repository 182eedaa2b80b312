"""Asking: a prompt from a cell put together, sent, and its reply shown as it grows."""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from executing import Source
from IPython.core.error import UsageError

from gprochat_magic.notebook import (
    background,
    commands,
    context,
    formats,
    grammar,
    identity,
    pictures,
    preview,
    waiting,
)
from gprochat_magic.notebook.background import Background
from gprochat_magic.notebook.cell import display_for, started_by_console
from gprochat_magic.notebook.distant import DistantDisplay
from gprochat_magic.notebook.formats import Format
from gprochat_magic.notebook.prompt import Filled, fill
from gprochat_magic.reply import Reply
from gprochat_magic.sending import Options

if TYPE_CHECKING:
    from gprochat_magic.chat import Chat, Run
    from gprochat_magic.conversation import Conversation, Turn
    from gprochat_magic.notebook.magics import GPROChatMagics

_OUTPUT = re.compile(r"_{1,3}|_\d+")


class Asking:
    """What the magics do once they are used: parse a line, run a subcommand or send a prompt."""

    def __init__(self, magics: GPROChatMagics) -> None:
        self.waiting = waiting.Waiting()
        self._magics = magics
        self._cells = identity.CellCounter()

    def called(self, line: str, cell: str | None) -> Any:
        """Do what a line, and the cell below it, say; what the magic returns."""
        typed = grammar.parse(line, cell, commands.SHAPES)
        if typed.command or (cell is None and not line.strip()):
            value = commands.run(self._magics, typed.command, typed.text)
        else:
            value = self._asked(typed.text, typed.options)
        is_plain = value is None or typed.command in commands.SHOWN
        return value if is_plain else self._handed_over(value)

    def _asked(self, text: str, options: argparse.Namespace) -> Any:
        if not text.strip():
            raise UsageError(
                "there is no prompt; write it behind the magic or in the cell below it"
            )
        form = formats.of(options, self._magics.shell)
        filled = self.prepared(text, options)
        if options.dry_run:
            sys.stdout.write(preview.request(self._magics, filled, options))
            return None
        if options.new:
            with grammar.in_one_line():
                self._magics.conversations().new(options.conversation or "")
        return self.send(filled, options, form=form)

    def prepared(self, text: str, options: argparse.Namespace) -> Filled:
        """The prompt with values, context and pictures in. Raises `UsageError` for what is not."""
        namespace = self._namespace()
        filled = Filled(text) if options.raw else fill(text, namespace, strict=options.strict)
        known = (self._magics.secret_key.reveal(),)
        blocks = context.gathered(
            options.context or (), self._magics.shell, self._magics.failures, known=known
        )
        return pictures.added(context.added(filled, blocks), options.image or (), namespace)

    def plan(
        self, prompt: Filled, options: argparse.Namespace, again: Turn | None = None
    ) -> tuple[Chat, Options]:
        """Where a prompt goes, and how it is sent there."""
        with grammar.in_one_line():
            chat = self._magics.chat(options.conversation or "")
        place = self._place(chat.conversation)
        return chat, Options(
            model=options.model,
            system=options.system,
            turns=options.turns,
            history=not options.no_history,
            timeout=options.timeout,
            proxy=options.proxy,
            cell=place.cell,
            rerun=place.rerun,
            again=again,
            images=prompt.images or (pictures.again(chat.conversation, again) if again else ()),
            parameters=options.parameters,
            cache="refresh" if options.refresh else "use" if options.cache else "",
        )

    def send(
        self,
        prompt: Filled,
        options: argparse.Namespace,
        again: Turn | None = None,
        form: Format | None = None,
    ) -> Any:
        """Send a prompt and show the reply as it grows, beside the turn `again` if one is given.

        Returns what the format makes of the reply: itself, or the value that was asked for.
        """
        if options.bg:
            background.refuse_terminals(self._magics.shell, console=started_by_console)
        if options.proxy:
            self._magics.typed.address(options.proxy, "proxy")
        chat, how = self.plan(prompt, options, again)
        if how.rerun:
            self._magics.jobs.make_way(how.cell)
        form = form or Format()
        if options.bg:
            run = chat.start(prompt.text, how)
            return self._in_background(chat, run, prompt, options, form=form, cell=how.cell)
        display = display_for(
            self._magics.shell, form, quiet=options.quiet, rate=self._magics.refresh_rate
        )
        run = chat.start(prompt.text, how)
        try:
            for events in chat.batches(run):
                display.take(events)
        finally:
            run.stream.cancel()  # an interrupt may have come before the first look at it
            # Also when it broke off: what had arrived stays, and the error says the rest.
            self._magics.replied = reply = run.reply()
            display.finish(reply, footer(reply, prompt, form.conclude(reply)))
        value = form.value(reply)
        if options.output:
            self._magics.shell.user_ns[options.output] = value
        return value

    def _place(self, conversation: Conversation) -> identity.Place:
        """Where the prompt is that is sent now."""
        turn = conversation.last
        last = self._magics.jobs.last_cell(conversation) or (turn.cell if turn else "")
        return self._cells.next(self._magics.shell, last)

    def _in_background(
        self,
        chat: Chat,
        run: Run,
        prompt: Filled,
        options: argparse.Namespace,
        *,
        form: Format,
        cell: str,
    ) -> Background:
        space, count = self._magics.shell.user_ns, self._magics.shell.execution_count

        def note(reply: Reply) -> str:
            return footer(reply, prompt, form.conclude(reply))

        def finish(reply: Reply) -> None:
            self._magics.replied = reply
            value = form.value(reply)
            space["_oh"].setdefault(count, value)
            if options.output:
                space[options.output] = value

        display = DistantDisplay(self._magics.shell, form, rate=self._magics.refresh_rate)
        return self._magics.jobs.add(
            Background(chat, run, display, cell=cell, note=note, finish=finish)
        )

    def _namespace(self) -> dict[str, Any]:
        """The user's names, with In, Out, `_` and Err; not what else IPython put there, as exit."""
        space, hidden = self._magics.shell.user_ns, self._magics.shell.user_ns_hidden
        # IPython hides outputs too, which are the user's; before the first there is nothing in `_`.
        outputs = [name for name in space if space["Out"] and _OUTPUT.fullmatch(name)]
        shown = {"In", "Out", *outputs}
        own = {
            name: value
            for name, value in space.items()
            if name in shown or hidden.get(name, hidden) is not value
        }
        return {**own, "Err": self._magics.failures}

    def _handed_over(self, value: Any) -> Any:
        """What the call gives; of a call that is a statement, it becomes `_` and `Out[n]`.

        Returned from a statement it would be displayed a second time.
        """
        parent = parent_of_call(sys._getframe(1))
        if parent is None:
            # Such as under %%time, whose code has no source: it may be displayed, or not.
            if isinstance(value, Reply):
                value.shown()
            return value
        if not isinstance(parent, ast.Expr):
            return value
        if isinstance(value, Background):
            return None
        hook: Any = self._magics.shell.displayhook
        hook.update_user_ns(value)
        hook.fill_exec_result(value)
        return None


def parent_of_call(frame: Any) -> ast.AST | None:
    """What the user's call that led to this frame is part of; None where that cannot be told."""
    while frame is not None and not _is_users(frame):
        frame = frame.f_back
    node = None if frame is None else Source.executing(frame).node
    parent: ast.AST | None = getattr(node, "parent", None)
    return parent


def _is_users(frame: Any) -> bool:
    name = frame.f_globals.get("__name__", "")
    return not name.startswith(("gprochat_magic.", "IPython.", "decorator"))


def footer(reply: Reply, filled: Filled, remarks: Iterable[str] = ()) -> str:
    """Who answered, how long it took, what was put in, and what is not as it should be."""
    facts = [reply.model, reply.backend, f"{reply.elapsed:.1f} s"]
    if reply.text:
        facts.append(f"{'~' * reply.usage.estimated}{reply.usage.received} tokens")
    if reply.stopped:
        facts.insert(0, "stopped" if reply.text else "no reply")
    if filled.used:
        facts.append("with " + ", ".join(dict.fromkeys(filled.used)))
    return " · ".join(filter(None, [*facts, *reply.notes, *remarks]))
