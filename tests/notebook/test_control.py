"""Subcommands about what answers and how, in a real kernel: what they say, set and refuse."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pexpect
import pytest

from gprochat_magic.notebook import commands, grammar
from tests.gateways import Served, served
from tests.kernels import PATIENCE, Kernel, kernel

_PROMPTS = "[t.prompt for t in __import__('gprochat_magic').Chat().conversation.line()]"


@pytest.fixture(scope="module")
def far() -> Iterator[Served]:
    with served() as gateway:
        yield gateway


@pytest.fixture(scope="module")
def far_kernel(far: Served) -> Iterator[Kernel]:
    """A kernel whose endpoint is configured, with a key that does not fit."""
    with kernel(**{**far.environment, "GPROCHAT_SECRET_KEY": "x" * 32}) as started:
        yield started


def test_models_of_the_embedded_backend(k: Kernel) -> None:
    """The backend is asked; the model in force is marked, though the backend does not know it."""
    said = k.run("%gprochat models").stdout

    assert said == "Behind the embedded gateway, backend demo:\n* gemini-1.5-pro\n  demo\n"


def test_models_of_an_endpoint(far: Served, far_kernel: Kernel) -> None:
    """A configured service is named and not asked: the known names are listed."""
    before = len(far.backend.asked)
    said = far_kernel.run("%gprochat models").stdout

    assert said.startswith("Behind 127.0.0.1:")
    assert "* gemini-1.5-pro" in said
    assert len(far.backend.asked) == before


def test_aliases(k: Kernel) -> None:
    """An alias is listed, means its model to -m and to `set model`, and can be taken back."""
    assert "No aliases" in k.run("%gprochat alias").stdout
    k.run("%gprochat alias fast=gemini-1.5-flash\n%gprochat alias quick = fast")

    listed = "fast = gemini-1.5-flash\nquick = gemini-1.5-flash\n"
    assert k.run("%gprochat alias").stdout == listed
    k.run("%gprochat -q -o one -m quick json\n%gprochat set model fast\n%gprochat -q -o two json")
    k.run("%gprochat set model gemini-1.5-pro\n%gprochat alias fast=\n%gprochat alias quick=")
    assert k.value("one.model, two.model") == ("gemini-1.5-flash", "gemini-1.5-flash")
    assert "No aliases" in k.run("%gprochat alias").stdout


def test_set_shows_sets_and_clears(k: Kernel) -> None:
    """Alone it lists all settings, with a name it shows one, with a value it sets it."""
    assert "turns               20" in k.run("%gprochat set").stdout
    assert k.run("%gprochat set turns 7").stdout == "turns: 7\n"
    assert k.run("%gprochat set turns").stdout.startswith("turns: 7\n  How many earlier turns")
    k.run("%gprochat set turns 20\n%gprochat set temperature 0.5\n%gprochat set temperature none")
    k.run('%gprochat set system "be brief"\n%gprochat set model a b')

    assert k.value(_settings("turns", "temperature", "system", "model")) == (
        20,
        None,
        "be brief",
        "a b",
    )
    k.run("%gprochat set system ''\n%gprochat set model gemini-1.5-pro")


def _settings(*names: str) -> str:
    return f"tuple(getattr(__import__('gprochat_magic').config.current(), n) for n in {names})"


def test_a_setting_that_the_wire_does_not_carry(k: Kernel) -> None:
    """It is set, and said that it is not sent."""
    k.run("%gprochat set wire flat")
    said = k.run("%gprochat set max_tokens 5").stdout
    k.run("%gprochat set max_tokens none\n%gprochat set wire ''")

    assert "the flat wire carries one text" in said


def test_system_shows_sets_and_clears(k: Kernel) -> None:
    """The text goes before every prompt until - clears it."""
    assert "No instructions" in k.run("%gprochat system").stdout
    assert k.run("%gprochat system Don't joke").stdout == "Before every prompt goes: Don't joke\n"
    assert "and a system prompt with it" in k.run("%gprochat hi").shown[0]["text/plain"]
    assert "No instructions" in k.run("%gprochat system -").stdout
    assert "without a system prompt" in k.run("%gprochat -n 0 hi").shown[0]["text/plain"]


def test_backend_closes_the_running_gateway(k: Kernel) -> None:
    """After a switch the old gateway is gone, and the next prompt has a new one."""
    address = "__import__('gprochat_magic.engine', fromlist=['x']).shared().run(_where())"
    k.run(
        "async def _where():\n"
        "    from gprochat_magic import embedded\n"
        "    return embedded.shared().address"
    )
    k.run("%gprochat -q json")
    first = k.value(address)

    assert k.run("%gprochat backend demo").stdout == "demo answers from the next prompt on.\n"
    assert k.value(address) == ""
    assert k.run("%gprochat -q json").status == "ok"
    assert k.value(address) not in ("", first)
    assert "demo, behind the embedded gateway" in k.run("%gprochat backend").stdout


@pytest.mark.parametrize("line", ["%gprochat backend dmeo", "%gprochat set backend dmeo"])
def test_an_unknown_backend_is_two_lines(k: Kernel, line: str) -> None:
    """The nearest name is suggested, and the backend in force stays."""
    ran = k.run(line)

    assert ran.error["ename"] == "ConfigError"
    assert ran.error["traceback"][1].startswith("  → Did you mean demo?")
    assert k.value(_settings("backend")) == ("demo",)
    assert k.run("%gprochat -q json").status == "ok"


def test_a_configured_backend_that_there_is_not(tmp_path: Any) -> None:
    """Loading works; the first prompt says which backends there are."""
    with kernel(GPROCHAT_BACKEND="nobody") as k:
        ran = k.run("%gprochat hi")

        assert ran.error["traceback"][0] == "ConfigError: there is no backend 'nobody'"


def test_a_backend_set_by_config_is_the_next_to_answer(k: Kernel) -> None:
    """The running gateway does not go on answering for another one."""
    k.run("%gprochat -q json\n%config GPROChatMagics.backend = 'nobody'")
    ran = k.run("%gprochat hi")
    k.run("%gprochat backend demo")

    assert ran.error["traceback"][0] == "ConfigError: there is no backend 'nobody'"
    assert k.run("%gprochat -q json").status == "ok"


def test_key_in_a_terminal() -> None:
    """What is typed is not echoed, and not in the history."""
    arguments = ["-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"]
    shell = pexpect.spawn(sys.executable, arguments, encoding="utf-8", timeout=PATIENCE)
    screen = shell.logfile_read = io.StringIO()
    shell.sendline("%load_ext gprochat_magic")
    shell.sendline("%gprochat key")
    shell.expect("Secret key: ")
    shell.waitnoecho()
    shell.sendline("hunter2-of-a-terminal")
    shell.expect("The key is set")
    shell.sendline("%history")
    shell.sendline("print(5 * 5)")
    shell.expect("25")
    shell.sendline("exit")
    shell.expect(pexpect.EOF)

    assert "hunter2" not in screen.getvalue()


def test_key_where_the_terminal_is_none() -> None:
    """With a pipe for input nothing can be hidden: it is refused, and nothing is read."""
    ran = subprocess.run(
        [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner"],
        input="%load_ext gprochat_magic\n%gprochat key\n",
        capture_output=True,
        text=True,
    )

    assert "a key cannot be asked for here" in ran.stdout


def test_key_is_typed_unseen(far: Served, far_kernel: Kernel) -> None:
    """It is asked for as a password and signs the next prompt; no message or history has it."""
    assert far_kernel.run("%gprochat -q hi").error["ename"] == "AuthError"
    secret = far.environment["GPROCHAT_SECRET_KEY"]
    client = far_kernel.client
    wanted = client.execute("%gprochat key", allow_stdin=True)
    asked = client.get_stdin_msg(timeout=PATIENCE)
    client.input(secret)
    ran = far_kernel.finish(wanted)

    assert asked["content"]["password"] is True
    assert ran.stdout.startswith("The key is set; it signs what goes to 127.0.0.1:")
    assert far_kernel.run("%gprochat -q hi").status == "ok"
    everything = far_kernel.run("%history -g\n%config GPROChatMagics\n%gprochat set\nprint(In)")
    assert secret not in str(ran.messages) + str(everything.messages)


def test_key_where_nobody_can_type(k: Kernel) -> None:
    """A front end without input, such as nbclient, gets two lines that say what to do."""
    ran = k.run("%gprochat key")

    assert ran.error["ename"] == "ConfigError"
    assert "GPROCHAT_SECRET_KEY" in ran.error["traceback"][1]


def test_usage_counts_replies_and_tokens() -> None:
    """This conversation, and all that this kernel asked, what came from the cache apart."""
    with kernel() as k:
        k.run("%gprochat -q --cache json\n%gprochat new other\n%gprochat -q --cache json")
        here, session, _ = k.run("%gprochat usage").stdout.splitlines()

    assert here.startswith("this conversation   1 replies: ~1 tokens of prompts, ~")
    assert session.startswith("this session        2 replies, 1 of them from the cache, 1 requests")
    assert "~1 tokens sent" in session


def test_stop_with_nothing_to_stop(k: Kernel) -> None:
    """It says so."""
    assert k.run("%gprochat stop").stdout == "No reply streams in the background.\n"


@pytest.mark.parametrize(
    ("flags", "sent"),
    [
        ("-t 0.5", {"temperature": 0.5}),
        ("--temperature=0", {"temperature": 0.0}),
        ("--max-tokens 7", {"max_tokens": 7}),
        ("-p top_p=0.9 -p stop='[1]'", {"top_p": 0.9, "stop": "[1]"}),
        ('-p stop="a b" -p top_p=1', {"stop": "a b", "top_p": 1}),
        ("-p max_tokens=7 -p temperature=0", {"max_tokens": 7, "temperature": 0.0}),
        ("-p 'stop=[\"a b\", 1]'", {"stop": ["a b", 1]}),
        ("-p seed=7 -p who=me -p x={} -p no=NaN", {"seed": 7, "who": "me", "x": {}, "no": "NaN"}),
    ],
)
def test_parameters_reach_the_backend(
    turns_kernel: Kernel, far: Served, flags: str, sent: Any
) -> None:
    """Flags are numbers; -p is JSON where it parses, else text."""
    assert turns_kernel.run(f"%gprochat -q -n 0 {flags} hi").status == "ok"

    options = dict(far.backend.asked[-1][1])
    assert options.pop("model") == "gemini-1.5-pro"
    assert options == sent


@pytest.fixture(scope="module")
def turns_kernel(far: Served) -> Iterator[Kernel]:
    with kernel(**far.environment, GPROCHAT_WIRE="turns") as started:
        yield started


@pytest.mark.parametrize(
    ("line", "system"),
    [
        ('--system="be brief" why?', "be brief"),
        ("-s='be \\'brief\\'' why?", "be 'brief'"),
        ('-s "be brief" why?', "be brief"),
        ("-s it's why?", "it's"),
        ('-s "C:\\new data, \\frac, \\"x\\"" why?', 'C:\\new data, \\frac, "x"'),
        ('-s=a"b"c why?', 'a"b"c'),
    ],
)
def test_quotes_hold_a_value_together(
    turns_kernel: Kernel, far: Served, line: str, system: str
) -> None:
    """With a space or with = before them; inside a word they are part of it."""
    assert turns_kernel.run(f"%gprochat -q -n 0 {line}").status == "ok"

    messages = [message["content"] for message in far.backend.asked[-1][0]]
    assert messages == [system, "why?"]


def test_what_the_flat_wire_cannot_carry_is_refused_by_name(far: Served) -> None:
    """A flag is refused and nothing is sent; of a setting, the footer says so."""
    with kernel(**far.environment) as k:
        refused = [
            ("-t 1", "temperature"),
            ("--max-tokens 5", "max_tokens"),
            ("-p a=1", "a"),
            ("-m other", "a model (-m)"),
        ]
        before = len(far.backend.asked)
        for flags, name in refused:
            told = f"ConfigError: {name} cannot go along: the flat wire carries one text"
            assert k.run(f"%gprochat {flags} hi").error["traceback"][0] == told
        assert len(far.backend.asked) == before

        assert "(not sent: the flat wire" in k.run("%gprochat set model other").stdout
        footer = k.run("%gprochat -o said hi").shown[-1]["text/html"]
        assert "model not sent: the flat wire carries one text" in footer
        assert k.value("said.model") == ""


def test_the_demo_obeys_max_tokens(k: Kernel) -> None:
    """About four characters a token."""
    k.run("%gprochat -q --max-tokens 5 -o short hi\n%gprochat set max_tokens 3")
    k.run("%gprochat -q -o shorter hi\n%gprochat set max_tokens none")

    assert k.value("len(short), len(shorter)") == (20, 12)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%gprochat -t warm hi", "a number from 0 to 2 is needed, not 'warm'"),
        ("%gprochat -t 2.1 hi", "a number from 0 to 2 is needed"),
        ("%gprochat -t nan hi", "a number from 0 to 2 is needed"),
        ("%gprochat -t", "-t needs a value"),
        ("%gprochat --max-tokens 0 hi", "a whole number above 0 is needed"),
        ("%gprochat --max-tokens 1.5 hi", "a whole number above 0 is needed"),
        ("%gprochat -p novalue hi", "KEY=VALUE is needed"),
        ("%gprochat -p =1 hi", "KEY=VALUE is needed"),
        ("%gprochat -p model=x hi", "the model is named with -m"),
        ("%gprochat -p temperature=hot hi", "a number from 0 to 2 is needed, not 'hot'"),
        ("%gprochat -p max_tokens=-1 hi", "a whole number above 0 is needed, not '-1'"),
        ("%gprochat fix -t 0", "fix takes no --temperature"),
        ("%gprochat retry -t 0", "retry takes no --temperature"),
        ("%gprochat retry --cache 2", "retry takes no --cache"),
        ("%gprochat retry -m x it", "retry takes a number, not 'it'"),
        ("%gprochat search", "search needs more: %gprochat search TEXT (-- search asks)"),
        ("%gprochat export", "export needs more: %gprochat export FILE"),
        ("%gprochat -p a=1 -p a=1 hi", "a is given twice"),
        ("%gprochat -t 1 -p temperature=1 hi", "temperature is given twice"),
        ("%gprochat -t 1 -t 2 hi", "-t is given twice"),
        ("%gprochat --cache --refresh hi", "contradict each other"),
        ("%gprochat --cache --no-history hi", "contradict each other"),
        ("%gprochat --refresh --no-history hi", "contradict each other"),
        ("%gprochat --cache=yes hi", "takes no value"),
        ("%gprochat --bg -q hi", "contradict each other"),
        ("%gprochat --bg=1 hi", "takes no value"),
        ("%gprochat set turns many", "a whole number, 0 or more is needed"),
        ("%gprochat set turns -1", "a whole number, 0 or more is needed"),
        ("%gprochat set temperature 3", "a number from 0 to 2 is needed"),
        ("%gprochat set wait sideways", "one of block, nested is needed"),
        ("%gprochat set api_endpoint ftp://u:hunter2@h", "an address like http"),
        ("%gprochat set modle x", "did you mean model?"),
        ("%gprochat set max_token 5", "did you mean max_tokens?"),
        ("%gprochat set no_such_thing 5", "there is no setting"),
        ("%gprochat set secret_key", "%gprochat key asks for it unseen"),
        ("%gprochat set secret_key hunter2", "%gprochat key asks for it unseen"),
        ("%gprochat alias nobody=", "there is no alias 'nobody'"),
    ],
)
def test_a_slip_is_one_line_and_sends_nothing(k: Kernel, line: str, expected: str) -> None:
    """A wrong value or two flags that contradict are a usage error; no turn comes of it."""
    ran = k.run(line)

    assert ran.reply["content"]["ename"] == "UsageError"
    assert expected in ran.stdout
    assert ran.stdout.count("\n") == 1
    assert "hunter2" not in ran.stdout
    assert k.value(_PROMPTS) == []


@pytest.mark.parametrize(
    "text",
    [
        "models of the atom",
        "alias of Superman",
        "set theory in one line",
        "system of equations: x = 1",
        "system what is that?",
        "backend or frontend first",
        "key to success",
        "usage of commas",
        "cache me outside",
        "stop words in English",
    ],
)
def test_a_subcommand_followed_by_prose_is_a_prompt(
    turns_kernel: Kernel, far: Served, text: str
) -> None:
    """A first word alone does not make a subcommand."""
    far.backend.asked.clear()
    assert turns_kernel.run(f"%gprochat -q {text}").status == "ok"
    assert turns_kernel.run(f"%gprochat {text}").status == "ok"

    assert far.backend.prompts == [text, text]


@pytest.mark.parametrize("shape", [s for s in commands.SHAPES if s.name], ids=lambda s: s.name)
def test_help_names_each_flag_and_argument(k: Kernel, shape: grammar.Shape) -> None:
    """`help NAME` shows the line to type and what each flag in it does."""
    said = k.run(f"%gprochat help {shape.name}").stdout

    assert said.startswith(f"%gprochat {shape.name} {shape.argument}".strip() + "\n")
    assert all(len(line) <= 100 for line in said.splitlines()[1:])
    said = " ".join(said.split())
    assert shape.help in said
    for flag in grammar.FLAGS:
        words = re.findall(r"--?[\w-]+", f"{shape.pattern} {shape.argument}")
        if set(flag.names) & set(words):
            assert flag.spelling in said
            assert flag.help in said


def test_the_overview_names_everything(k: Kernel) -> None:
    """`help` and `%%gprochat?` list each flag and each subcommand."""
    said = k.run("%gprochat help").stdout
    ran = k.run("%%gprochat?")

    for shown in (said, str(ran.reply["content"]["payload"])):
        for flag in grammar.FLAGS:
            assert flag.spelling in shown
        for shape in commands.SHAPES:
            assert shape.usage in shown


def completions(k: Kernel, text: str) -> list[str]:
    wanted = k.client.complete(text, len(text))
    while True:
        reply = k.client.get_shell_msg(timeout=PATIENCE)
        if reply["parent_header"].get("msg_id") == wanted:
            return list(reply["content"]["matches"])


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("%gprochat --ca", ["--cache"]),
        ("%gprochat -m sw", ["swift"]),
        ("%gprochat -p t", ["temperature=", "top_p="]),
        ("%gprochat alias s", ["swift="]),
        ("%gprochat set wi", ["wire"]),
        ("%gprochat set sec", []),
        ("%gprochat set wait ", ["block", "nested"]),
        ("%gprochat set model sw", ["swift"]),
        ("%gprochat backend d", ["demo"]),
        ("%gprochat cache c", ["clear"]),
        ("%gprochat usa", ["usage"]),
        ("%gprochat --format=j", ["json"]),
        ("%gprochat -t 0 --fo", ["--format"]),
        ("%gprochat some words --quie", []),
        ("%gprochat fix --", ["--insert", "--model"]),
        ("%gprochat retry --m", ["--model"]),
        ("%gprochat context --fo", ["--format"]),
    ],
)
def test_tab_completes_values(k: Kernel, typed: str, offered: list[str]) -> None:
    """Flags, aliases, parameters, settings and what fits them."""
    k.run("%gprochat alias swift=gemini-1.5-flash")
    found = completions(k, typed)
    k.run("%gprochat alias swift=")

    assert found == offered


def test_settings_of_a_config_file(tmp_path: Any) -> None:
    """ipython_config.py sets what is in force; a variable of the environment gives way to it."""
    profile = tmp_path / "profile_default"
    profile.mkdir()
    (profile / "ipython_config.py").write_text(
        "c = get_config()\n"
        "c.GPROChatMagics.model = 'from-a-file'\n"
        "c.GPROChatMagics.turns = 3\n"
        "c.GPROChatMagics.aliases = {'fast': 'swift'}\n"
        "c.InteractiveShellApp.extensions = ['gprochat_magic']\n"
    )
    with kernel(load=False, IPYTHONDIR=str(tmp_path), GPROCHAT_MODEL="from-outside") as k:
        k.run("%gprochat -q -o one json\n%gprochat -q -o two -m fast json")

        assert k.value("one.model, two.model") == ("from-a-file", "swift")
        assert "turns         3" in k.run("%gprochat").stdout
