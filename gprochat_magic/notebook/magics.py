"""%gprochat and %%gprochat: parse, call Chat, choose a display."""

from __future__ import annotations

import argparse
import ast
import contextlib
import sys
from typing import TYPE_CHECKING, Any

from executing import Source
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from traitlets import TraitError, observe, validate

from gprochat_magic.config import Settings, Waiter
from gprochat_magic.errors import ConfigError
from gprochat_magic.notebook import background, commands, grammar, identity, waiting
from gprochat_magic.notebook.background import Background, Jobs
from gprochat_magic.notebook.completion import Completion
from gprochat_magic.notebook.failures import Failures
from gprochat_magic.notebook.prompt import Filled, fill
from gprochat_magic.notebook.typed import Typed

if TYPE_CHECKING:
    from gprochat_magic.chat import Chat, Run
    from gprochat_magic.conversation import Conversation, Turn
    from gprochat_magic.conversations import Conversations
    from gprochat_magic.reply import Reply


@magics_class
class GPROChatMagics(Settings, Magics):
    """Settings and magics in one, so that %config GPROChatMagics shows what is in force."""

    shell: InteractiveShell

    _ready = False

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell=shell)
        self.failures = Failures()
        self.jobs = Jobs()
        self.completion = Completion(self, commands.SHAPES)
        self.kernel = identity.kernel_id(shell)
        self.notebook = identity.notebook_path(shell)
        self.typed = Typed(shell)
        self.models_seen: list[str] = []
        self._waiting = waiting.Waiting()
        self._cells = identity.CellCounter()
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
    def gprochat(self, line: str, cell: str | None = None) -> Reply | Background | None:
        """Ask a language model. The reply streams in below."""
        typed = grammar.parse(line, cell, commands.SHAPES)
        reply: Reply | Background | None
        if typed.command or (cell is None and not line.strip()):
            reply = commands.run(self, typed.command, typed.text)
        else:
            reply = self._asked(typed.text, typed.options)
        return reply and self._handed_over(reply)

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

    def _asked(self, text: str, options: argparse.Namespace) -> Reply | Background:
        if not text.strip():
            raise UsageError(
                "there is no prompt; write it behind the magic or in the cell below it"
            )
        filled = (
            Filled(text) if options.raw else fill(text, self._namespace(), strict=options.strict)
        )
        if options.new:
            self.conversations().new(options.conversation or "")
        return self.send(filled, options)

    def send(
        self, prompt: Filled, options: argparse.Namespace, again: Turn | None = None
    ) -> Reply | Background:
        """Send a prompt and show the reply as it grows, beside the turn `again` if one is given."""
        from gprochat_magic.notebook.cell import display_for, started_by_console
        from gprochat_magic.sending import Options

        if options.bg:
            background.refuse_terminals(self.shell, console=started_by_console)
        if options.proxy:
            self.typed.address(options.proxy, "proxy")
        chat = self.chat(options.conversation or "")
        place = self._place(chat.conversation)
        run = chat.start(
            prompt.text,
            Options(
                model=options.model,
                system=options.system,
                turns=options.turns,
                history=not options.no_history,
                timeout=options.timeout,
                proxy=options.proxy,
                cell=place.cell,
                rerun=place.rerun,
                again=again,
                parameters=options.parameters,
                cache="refresh" if options.refresh else "use" if options.cache else "",
            ),
        )
        if options.bg:
            return self._in_background(chat, run, prompt=prompt, options=options, cell=place.cell)
        as_text = options.format == "text"
        display = display_for(
            self.shell, quiet=options.quiet, as_text=as_text, rate=self.refresh_rate
        )
        try:
            for events in chat.batches(run):
                display.take(events)
        finally:
            # Also when it broke off: what had arrived stays, and the error says the rest.
            reply = run.reply()
            display.finish(reply, footer(reply, prompt))
        if options.output:
            self.shell.user_ns[options.output] = reply
        return reply

    def _place(self, conversation: Conversation) -> identity.Place:
        """Where the prompt is that is sent now; what still streams there from before stops."""
        line = conversation.line()
        last = self.jobs.last_cell(conversation) or (line[-1].cell if line else "")
        place = self._cells.next(self.shell, last)
        if place.rerun:
            self.jobs.make_way(place.cell)
        return place

    def _in_background(
        self, chat: Chat, run: Run, *, prompt: Filled, options: argparse.Namespace, cell: str
    ) -> Background:
        from gprochat_magic.notebook.distant import DistantDisplay  # brings the renderer

        space, count = self.shell.user_ns, self.shell.execution_count

        def finish(reply: Reply) -> None:
            space["_oh"].setdefault(count, reply)
            if options.output:
                space[options.output] = reply

        as_text = options.format == "text"
        display = DistantDisplay(self.shell, rate=self.refresh_rate, as_text=as_text)
        job = Background(
            chat, run, display, cell=cell, note=lambda reply: footer(reply, prompt), finish=finish
        )
        return self.jobs.add(job)

    def _namespace(self) -> dict[str, Any]:
        return {**self.shell.user_ns, "Err": self.failures}

    def _handed_over(self, reply: Reply | Background) -> Reply | Background | None:
        """The reply as the value of the call; for a call that is a statement, as `_` and `Out[n]`.

        Returned from a statement it would be displayed a second time.
        """
        if not is_statement(sys._getframe(1)):
            return reply
        if isinstance(reply, Background):
            return None
        hook: Any = self.shell.displayhook
        hook.update_user_ns(reply)
        hook.fill_exec_result(reply)
        return None


def is_statement(frame: Any) -> bool:
    """Whether the user's code that led to this frame drops the value of the call."""
    while frame is not None and not _is_users(frame):
        frame = frame.f_back
    if frame is None:
        return False
    node = Source.executing(frame).node
    return isinstance(getattr(node, "parent", None), ast.Expr)


def _is_users(frame: Any) -> bool:
    name = frame.f_globals.get("__name__", "")
    return not name.startswith(("gprochat_magic.", "IPython.", "decorator"))


def footer(reply: Reply, filled: Filled) -> str:
    """Who answered, how long it took, what was put in, and what is not as it should be."""
    facts = [reply.model, reply.backend, f"{reply.elapsed:.1f} s"]
    if reply.text:
        facts.append(f"~{reply.usage.received} tokens")
    if reply.stopped:
        facts.insert(0, "stopped" if reply.text else "no reply")
    if filled.used:
        facts.append("with " + ", ".join(dict.fromkeys(filled.used)))
    return " · ".join(filter(None, [*facts, *reply.notes]))


def make(shell: InteractiveShell) -> GPROChatMagics:
    """The magics for a shell. Raises `ConfigError` for a configured setting that does not fit."""
    try:
        return GPROChatMagics(shell)
    except TraitError as error:
        raise ConfigError(f"a setting does not fit: {error}") from None
