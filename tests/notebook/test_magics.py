"""%gprochat and %%gprochat in a real kernel: forms, flags, results, subcommands, errors."""

from __future__ import annotations

import pytest

from tests.kernels import Kernel


def test_the_reply_is_the_result_without_a_second_display(k: Kernel) -> None:
    """A cell's reply is in `_` and Out[n], and shown once."""
    ran = k.run("%%gprochat\njson")

    count = ran.reply["content"]["execution_count"]
    assert [o["output_type"] for o in ran.outputs] == ["display_data"]

    assert k.value(f"type(Out[{count}]).__name__") == "Reply"


def test_a_line_can_be_assigned(k: Kernel) -> None:
    """`x = %gprochat ...` gives the reply, shown once as it streams."""
    ran = k.run("x = %gprochat json")

    assert len(ran.shown) == 1
    assert k.value("type(x).__name__, 'json' in x.blocks[0].language") == ("Reply", True)


def test_a_call_in_an_expression_gives_the_reply(k: Kernel) -> None:
    """Code that runs the magic gets the reply back, whatever it does with it."""
    assert k.value("len(get_ipython().run_line_magic('gprochat', 'json')) > 0")
    assert k.value("bool(get_ipython().run_cell_magic('gprochat', '', 'json'))")


def test_output_variable(k: Kernel) -> None:
    """-o names a variable for the reply."""
    k.run("%gprochat -o kept json")

    assert k.value("kept.turn, kept.model, kept.stopped") == (1, "gemini-1.5-pro", False)


def test_a_trailing_question_mark_belongs_to_the_prompt(k: Kernel) -> None:
    """`%gprochat what is this?` asks, also with an apostrophe, twice in a cell, and indented."""
    k.run("%gprochat\twhat is this?\nif True:\n    %gprochat what's that??")

    assert k.value(_PROMPTS) == ["what is this?", "what's that??"]


def test_a_question_may_go_on_in_the_next_line(k: Kernel) -> None:
    """Behind a backslash, as any line magic; it is no help request for its last word."""
    ran = k.run("kept = %gprochat -q what \\\n  is it?\nafter = 1")

    assert ran.reply["content"]["payload"] == []
    assert k.value("[' '.join(each.split()) for each in " + _PROMPTS + "]") == ["what is it?"]
    assert k.value("after") == 1


def test_a_question_may_be_assigned(k: Kernel) -> None:
    """The reply is bound, also to several names or an item; a keyword argument is left alone."""
    k.run("kept = {}\none = two = %gprochat what is this?\nkept['x'] = %gprochat what's that?")
    k.run("dict(x=1)\ny = 5 %2")

    assert k.value(_PROMPTS) == ["what is this?", "what's that?"]
    assert k.value("(one is two, len(kept), y)") == (True, 1, 1)


def test_help_is_still_help(k: Kernel) -> None:
    """`%gprochat?` shows the help of the magic, and a string is left alone."""
    ran = k.run("text = '''\n%gprochat what is this?\n'''\n%gprochat?")

    assert "the cell is the prompt" in str(ran.reply["content"]["payload"])
    assert k.value("text") == "\n%gprochat what is this?\n"


def test_text_on_the_first_line_comes_before_the_body(k: Kernel) -> None:
    """In the cell form the first line's text is put before the cell."""
    k.run("%%gprochat -q Explain this:\nx = {1: 2}\n")

    assert k.value(_PROMPTS) == ["Explain this:\nx = {1: 2}"]


def test_later_prompts_carry_earlier_turns(k: Kernel) -> None:
    """The demo counts what it was sent: one turn, then two, then one with -n 0 or --no-history."""
    counts = []
    for number, flags in enumerate(("", "", "-n 0", "--no-history", "-n all")):
        text = k.run(f"%gprochat {flags} hello {number}").shown[0]["text/plain"]
        counts.append(text.split("You sent ")[1].split(" ")[0])

    assert counts == ["1", "2", "1", "1", "4"]


def test_reset_starts_anew(k: Kernel) -> None:
    """After reset nothing earlier is sent."""
    k.run("%gprochat -q hello")

    assert "1 turns left behind" in k.run("%gprochat reset").stdout
    assert "No turns yet" in k.run("%gprochat history").stdout


def test_history_shows_prompts_and_replies(k: Kernel) -> None:
    """`history` lists the turns with numbers; `history N` the last ones."""
    k.run("%gprochat -q json\n%gprochat -q code")

    everything, last = k.run("%gprochat history").stdout, k.run("%gprochat history 1").stdout
    assert everything.startswith("1\n  > json\n")
    assert last.startswith("2\n  > code\n")


def test_a_subcommand_followed_by_prose_is_a_prompt(k: Kernel) -> None:
    """`history of Rome` and `help me` are questions to a model."""
    k.run("%gprochat -q hello\n%gprochat history of Rome\n%gprochat help me please")

    assert k.value(_PROMPTS)[1:] == ["history of Rome", "help me please"]


def test_status_names_what_is_in_force(k: Kernel) -> None:
    """A bare %gprochat says which model and backend answer, and which settings were changed."""
    k.run("%config GPROChatMagics.turns = 7")
    said = k.run("%gprochat").stdout
    k.run("%config GPROChatMagics.turns = 20")

    assert "gemini-1.5-pro" in said
    assert "demo" in said
    assert "turns         7" in said


def test_doctor_tries_the_gateway(k: Kernel) -> None:
    """`doctor` sends a test prompt and names versions, loop and patches."""
    said = k.run("%gprochat doctor").stdout

    assert "answered in" in said
    assert "asyncio patched  no" in said


_PROMPTS = "[t.prompt for t in __import__('gprochat_magic').Chat().conversation.line()]"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%gprochat -m", "-m needs a value"),
        ("%gprochat --modle x hi", "did you mean --model?"),
        ("%gprochat -z hi", "no flag -z"),
        ("%gprochat histroy", "did you mean %gprochat history?"),
        ("%gprochat --timeout abc hi", "a number of seconds above 0 is needed"),
        ("%gprochat --timeout -1 hi", "a number of seconds above 0 is needed"),
        ("%gprochat -n few hi", "a whole number or all is needed"),
        ("%gprochat -f xml hi", "invalid choice: 'xml'"),
        ("%gprochat -o 1x hi", "cannot be the name of a variable"),
        ("%gprochat -o class hi", "'class' cannot be the name of a variable"),
        ('%gprochat -m "" hi', "-m/--model: a name is needed"),
        ('%gprochat -c " " hi', "-c/--conversation: a name is needed"),
        ('%gprochat -s "be brief hi', "-s: the quotes of its value do not match"),
        ("%gprochat --system='be brief hi", "--system: the quotes of its value do not match"),
        ("%gprochat -c nobody hi", "there is no conversation named 'nobody'. %gprochat list"),
        ('%gprochat --new -c "a " hi', "a conversation's name is one line"),
        ("%gprochat --proxy socks5://u:hunter2@h:1 hi", "an http:// or https:// address is needed"),
        ("%gprochat --no-history -n 0 hi", "contradict each other"),
        ("%gprochat -n 2 --no-history hi", "contradict each other"),
        ("%gprochat --quiet=yes hi", "takes no value"),
        ("%gprochat -q", "there is no prompt"),
        ("%%gprochat\n \n", "there is no prompt"),
        ("%gprochat --strict tell me of {nobody}", "nothing is called nobody"),
        ("%gprochat help nonsense", "no subcommand 'nonsense'"),
    ],
)
def test_a_slip_is_one_line_and_sends_nothing(k: Kernel, line: str, expected: str) -> None:
    """A wrong flag or value is IPython's UsageError in one line; no turn comes of it."""
    ran = k.run(line)

    assert ran.status == "error"
    assert ran.reply["content"]["ename"] == "UsageError"
    assert expected in ran.stdout
    assert ran.stdout.count("\n") == 1
    assert "hunter2" not in str(ran.outputs)
    assert k.value(_PROMPTS) == []


@pytest.mark.parametrize(
    ("settings", "flags", "ename", "expected"),
    [
        ({"api_endpoint": "http://127.0.0.1:9/x"}, "", "ConfigError", "no secret key"),
        (
            {"api_endpoint": "http://127.0.0.1:9/x", "secret_key": "s" * 32},
            "",
            "ConnectError",
            "127.0.0.1:9",
        ),
        ({}, "--proxy http://h:1", "ConfigError", "embedded gateway"),
    ],
)
def test_bad_settings_are_two_lines(
    k: Kernel, settings: dict[str, str], flags: str, ename: str, expected: str
) -> None:
    """A setting that cannot work shows as what is wrong and what to do; the class is kept."""
    for name, value in settings.items():
        k.run(f"%config GPROChatMagics.{name} = {value!r}")
    k.run("%config GPROChatMagics.retries = 0")
    ran = k.run(f"%gprochat {flags} hi")
    for name in settings:
        k.run(f"%config GPROChatMagics.{name} = ''")
    k.run("%config GPROChatMagics.retries = 2")

    assert ran.status == "error"
    assert ran.error["ename"] == ename
    assert expected in ran.error["traceback"][0]
    assert len(ran.error["traceback"]) == 2
    assert ran.shown == []


def test_a_bad_endpoint_is_refused_when_it_is_set(k: Kernel) -> None:
    """An address nobody could post to is refused at once, without repeating it."""
    ran = k.run("%config GPROChatMagics.api_endpoint = 'ftp://user:hunter2@host'")

    assert "must be an address like http://host:port/path" in ran.stdout
    assert "hunter2" not in str(ran.outputs)


def test_errors_can_be_caught_by_class(k: Kernel) -> None:
    """`except` around the magic works with our classes."""
    code = """
from gprochat_magic.errors import RateLimitError, StreamInterruptedError
try:
    get_ipython().run_line_magic("gprochat", "cut")
except StreamInterruptedError as error:
    print(len(error.partial) > 0, error.attempts)
"""
    assert k.run(code).stdout.endswith("True 1\n")


def test_a_reply_ends_at_its_timeout(k: Kernel) -> None:
    """--timeout is for the whole reply, however steadily it comes."""
    ran = k.run("%gprochat --timeout 0.5 slow")

    assert ran.error["ename"] == "DeadlineExceeded"
    assert "0.5 s" in ran.error["traceback"][0]


def test_a_broken_reply_keeps_its_text(k: Kernel) -> None:
    """F113: the text before the break is shown and kept, the backend's reason is told."""
    ran = k.run("%gprochat cut")

    assert ran.status == "error"
    assert ran.error["ename"] == "StreamInterruptedError"
    assert "as it was asked to" in ran.error["traceback"][0]
    assert ran.shown[0]["text/plain"].startswith("# A reply that breaks off")
    assert "[interrupted]" in k.run("%gprochat history").stdout
