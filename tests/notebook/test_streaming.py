"""A reply as it grows in a cell of a real kernel."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.gateways import Served, served
from tests.kernels import Kernel, kernel


@pytest.fixture(scope="module")
def far() -> Any:
    with served() as gateway:
        yield gateway


@pytest.fixture(scope="module")
def far_kernel(far: Served) -> Any:
    with kernel(**far.environment) as started:
        yield started


def test_text_is_shown_while_the_reply_is_still_on_its_way(far: Served, far_kernel: Kernel) -> None:
    """Of 50 chunks 0.1 s apart the first shows before the third was sent; messages are few."""
    far.backend.pieces, far.backend.pause, far.backend.sent = ["word "] * 50, 0.1, 0
    sent_at_first: list[int] = []

    def watch(message: dict[str, Any]) -> None:
        if message["msg_type"] == "display_data" and "word" in str(message["content"]):
            sent_at_first.append(far.backend.sent)

    ran = far_kernel.run("%%gprochat\nSay fifty words", watch)

    assert ran.status == "ok"
    assert sent_at_first[0] < 3
    updates = ran.of("display_data", "update_display_data")
    assert len(updates) <= 5 * 25


def test_the_cell_itself_displays(k: Kernel) -> None:
    """Every frame is sent by the thread that runs the cell: from others, output gets lost."""
    k.run(
        "import threading\n"
        "pub, by = get_ipython().display_pub, []\n"
        "def noted(*args, **kwargs):\n"
        "    by.append(threading.current_thread().name)\n"
        "    return type(pub).publish(pub, *args, **kwargs)\n"
        "pub.publish = noted"
    )
    ran = k.run("%gprochat code")

    assert ran.status == "ok"
    assert k.value("sorted(set(by))") == ["MainThread"]
    k.run("del pub.publish")


def test_the_saved_cell_holds_one_clean_output(k: Kernel) -> None:
    """One output with HTML and plain text, no Markdown, no widget, the exact text."""
    ran = k.run("%gprochat code")

    assert ran.status == "ok"
    [output] = ran.outputs
    assert set(output["data"]) == {"text/html", "text/plain"}
    assert output["metadata"] == {}
    assert output["data"]["text/plain"] == k.value("str(_)")


def test_only_the_last_frame_is_captured(k: Kernel) -> None:
    """%%capture keeps one output of a reply, not every frame of it."""
    k.run("%%capture cap\n%gprochat slow")

    assert k.value("len(cap.outputs)") == 1


def test_a_reply_leaves_other_output_of_the_cell_alone(k: Kernel) -> None:
    """What the user printed before and after stays where it was."""
    ran = k.run("print('before')\n%gprochat json\nprint('after')")

    kinds = [output["output_type"] for output in ran.outputs]
    assert kinds == ["stream", "display_data", "stream"]


def test_bytes_of_a_long_reply_stay_in_proportion(far: Served, far_kernel: Kernel) -> None:
    """A reply of 100 kB costs at most twelve times its size on the wire to the front end."""
    paragraph = (
        "A sentence of some words, with *emphasis* and `code`, as replies have. " * 3 + "\n\n"
    )
    far.backend.pieces, far.backend.pause = [paragraph[:40], paragraph[40:]] * 470, 0.003

    ran = far_kernel.run("%%gprochat\nlong")

    updates = ran.of("display_data", "update_display_data")
    size = sum(len(json.dumps(m["content"], ensure_ascii=False).encode()) for m in updates)
    assert size <= 12 * len(paragraph) * 470


def test_plain_format_is_plain_text(k: Kernel) -> None:
    """-f text shows the text itself, without HTML."""
    [output] = k.run("%gprochat -f text code").outputs

    assert set(output["data"]) == {"text/plain"}
    assert "```python" in output["data"]["text/plain"]


def test_quiet_shows_nothing(k: Kernel) -> None:
    """-q keeps the reply and shows none of it."""
    assert k.run("%gprochat -q -o kept json").outputs == []
    assert k.value("len(kept) > 0")


def test_a_countdown_is_shown_while_waiting_to_ask_again(k: Kernel) -> None:
    """F25: a cell says that and how long it waits before it asks again."""
    seen: list[str] = []
    ran = k.run("%gprochat error 429", lambda m: seen.append(str(m["content"])))

    assert ran.status == "error"
    assert any("asking again in" in text for text in seen)
    assert ran.error["ename"] == "RateLimitError"
