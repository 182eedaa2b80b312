"""%gprochat and %%gprochat: parse, call Chat, choose a display."""

from __future__ import annotations

import argparse
import ast
import contextlib
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from executing import Source
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from traitlets import TraitError, observe, validate

from gprochat_magic.config import Settings, Waiter
from gprochat_magic.errors import ConfigError
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
from gprochat_magic.notebook.background import Background, Jobs
from gprochat_magic.notebook.completion import Completion
from gprochat_magic.notebook.failures import Failures
from gprochat_magic.notebook.formats import Format
from gprochat_magic.notebook.prompt import Filled, fill
from gprochat_magic.notebook.typed import Typed
from gprochat_magic.reply import Reply

if TYPE_CHECKING:
    from gprochat_magic.chat import Chat, Run
    from gprochat_magic.conversation import Conversation, Turn
    from gprochat_magic.conversations import Conversations
    from gprochat_magic.sending import Options


@magics_class
class GPROChatMagics(Settings, Magics):
    """Settings and magics in one, so that %config GPROChatMagics shows what is in force."""

    shell: InteractiveShell

    _ready = False

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell=shell)
        self.failures = Failures()
        self.replied: Reply | None = None
        self.jobs = Jobs()
        self.completion = Completion(self, commands.SHAPES)
        self.kernel = identity.kernel_id(shell)
        self.notebook = identity.notebook_path(shell)
        self.typed = Typed(shell)
        self.models_seen: list[str] = []
        self._waiting = waiting.Waiting()
        self._cells = identity.CellCounter()
        self._pictures = pictures.Pictures()
        with contextlib.suppress(ConfigError):  # one that does not fit is told when it is used
            _ = self.wait  # the environment's choice is taken now: `_wait_works` judges later ones
        self._ready = True

    def waiter(self) -> Waiter | None:
        """How this thread waits for a reply where other work goes on meanwhile; None: it blocks."""
        return self._waiting.waiter() if self.wait == "nested" else None

    @validate("wait")
    def _wait_works(self, proposal: Any) -> str:
        """Refuse what is typed and cannot work; a configured one is refused at the first reply."""
        chosen = str(proposal["value"])
        if self._ready and chosen == "nested" and (reason := waiting.refusal()):
            raise TraitError(f"wait=nested is refused: {reason}")
        return chosen

    @observe("secret_key", "proxy", "api_endpoint")
    def _notice_secrets(self, change: Any) -> None:
        if not self._ready:
            return
        if change["name"] == "secret_key":
            self.typed.secret(change["new"].reveal())
        else:
            self.typed.address(change["new"], change["name"])

    @no_var_expand
    @line_cell_magic
    def gprochat(self, line: str, cell: str | None = None) -> Any:
        """Ask a language model. The reply streams in below."""
        typed = grammar.parse(line, cell, commands.SHAPES)
        if typed.command or (cell is None and not line.strip()):
            value = commands.run(self, typed.command, typed.text)
        else:
            value = self._asked(typed.text, typed.options)
        is_plain = value is None or typed.command in commands.SHOWN
        return value if is_plain else self._handed_over(value)

    gprochat.__doc__ = f"Ask a language model.\n\n{grammar.overview(commands.SHAPES)}"

    def conversations(self) -> Conversations:
        """The conversations that are open or kept."""
        from gprochat_magic import conversations  # brings SQLite, which loading must not

        return conversations.shared()

    def chat(self, name: str = "") -> Chat:
        """A conversation to talk in, by name, which must exist; without, the current one."""
        from gprochat_magic.chat import Chat  # brings aiohttp, which loading must not

        if name:
            self.conversations().open(name)
        return Chat(name)

    def keep_view(self) -> None:
        """Keep which turns are in view, after a subcommand changed it."""
        home = self.conversations()
        home.keep(home.current, [])

    def _asked(self, text: str, options: argparse.Namespace) -> Any:
        if not text.strip():
            raise UsageError(
                "there is no prompt; write it behind the magic or in the cell below it"
            )
        form = formats.of(options, self.shell)
        filled = self.prepared(text, options)
        if options.dry_run:
            sys.stdout.write(preview.request(self, filled, options))
            return None
        if options.new:
            self.conversations().new(options.conversation or "")
        return self.send(filled, options, form=form)

    def prepared(self, text: str, options: argparse.Namespace) -> Filled:
        """The prompt with values, context and pictures in. Raises `UsageError` for what is not."""
        namespace = self._namespace()
        filled = Filled(text) if options.raw else fill(text, namespace, strict=options.strict)
        known = (self.secret_key.reveal(),)
        blocks = context.gathered(options.context or (), self.shell, self.failures, known=known)
        return pictures.added(context.added(filled, blocks), options.image or (), namespace)

    def plan(
        self, prompt: Filled, options: argparse.Namespace, again: Turn | None = None
    ) -> tuple[Chat, Options]:
        """Where a prompt goes, and how it is sent there."""
        from gprochat_magic.sending import Options

        chat = self.chat(options.conversation or "")
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
            images=prompt.images or (self._pictures.of(again) if again else ()),
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
        from gprochat_magic.notebook.cell import display_for, started_by_console

        if options.bg:
            background.refuse_terminals(self.shell, console=started_by_console)
        if options.proxy:
            self.typed.address(options.proxy, "proxy")
        chat, how = self.plan(prompt, options, again)
        if how.rerun:
            self.jobs.make_way(how.cell)
        run = chat.start(prompt.text, how)
        self._pictures.keep(run.turn, how.images)
        form = form or Format()
        if options.bg:
            return self._in_background(chat, run, prompt, options, form=form, cell=how.cell)
        display = display_for(self.shell, form, quiet=options.quiet, rate=self.refresh_rate)
        try:
            for events in chat.batches(run):
                display.take(events)
        finally:
            # Also when it broke off: what had arrived stays, and the error says the rest.
            self.replied = reply = run.reply()
            display.finish(reply, footer(reply, prompt, form.conclude(reply)))
        value = form.value(reply)
        if options.output:
            self.shell.user_ns[options.output] = value
        return value

    def _place(self, conversation: Conversation) -> identity.Place:
        """Where the prompt is that is sent now."""
        line = conversation.line()
        last = self.jobs.last_cell(conversation) or (line[-1].cell if line else "")
        return self._cells.next(self.shell, last)

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
        from gprochat_magic.notebook.distant import DistantDisplay  # brings the renderer

        space, count = self.shell.user_ns, self.shell.execution_count

        def note(reply: Reply) -> str:
            return footer(reply, prompt, form.conclude(reply))

        def finish(reply: Reply) -> None:
            self.replied = reply
            value = form.value(reply)
            space["_oh"].setdefault(count, value)
            if options.output:
                space[options.output] = value

        display = DistantDisplay(self.shell, form, rate=self.refresh_rate)
        return self.jobs.add(Background(chat, run, display, cell=cell, note=note, finish=finish))

    def _namespace(self) -> dict[str, Any]:
        """The user's names, with In, Out and Err; not what IPython put among them, such as exit."""
        hidden = self.shell.user_ns_hidden
        names = self.shell.user_ns.items()
        own = {name: value for name, value in names if hidden.get(name, self) is not value}
        history = {name: self.shell.user_ns[name] for name in ("In", "Out")}
        return {**own, **history, "Err": self.failures}

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
        hook: Any = self.shell.displayhook
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
        facts.append(f"~{reply.usage.received} tokens")
    if reply.stopped:
        facts.insert(0, "stopped" if reply.text else "no reply")
    if filled.used:
        facts.append("with " + ", ".join(dict.fromkeys(filled.used)))
    return " · ".join(filter(None, [*facts, *reply.notes, *remarks]))


def make(shell: InteractiveShell) -> GPROChatMagics:
    """The magics for a shell. Raises `ConfigError` for a configured setting that does not fit."""
    try:
        return GPROChatMagics(shell)
    except TraitError as error:
        raise ConfigError(f"a setting does not fit: {error}") from None
