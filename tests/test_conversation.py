"""Turns, the line in view, and the window that a prompt is sent with."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gprochat_magic.conversation import SENT, Conversation, State, Turn, estimate_tokens

PLENTY = 1_000_000


def of(*turns: Turn) -> Conversation:
    conversation = Conversation("test")
    for turn in turns:
        conversation.append(turn)
    return conversation


def turn(number: int, state: State = "complete") -> Turn:
    return Turn(f"p{number}", reply="" if state == "failed" else f"r{number}", state=state)


def contents(conversation: Conversation, **options: object) -> list[str]:
    window = conversation.window("now", **{"token_budget": PLENTY, **options})  # type: ignore[arg-type]
    return [str(message["content"]) for message in window.messages]


def test_a_prompt_carries_the_turns_before_it_in_order() -> None:
    """Oldest first, user and assistant in turn, the prompt last."""
    conversation = of(turn(1), turn(2))
    messages = conversation.window("now", token_budget=PLENTY).messages

    assert [m["role"] for m in messages] == ["user", "assistant"] * 2 + ["user"]
    assert contents(conversation) == ["p1", "r1", "p2", "r2", "now"]


def test_failed_and_pending_turns_are_left_out_and_stopped_ones_are_not() -> None:
    """What came to something goes along, with the text that it has."""
    states: list[State] = ["complete", "failed", "interrupted", "pending", "unverified"]
    conversation = of(*(turn(number, state) for number, state in enumerate(states)))

    assert contents(conversation) == ["p0", "r0", "p2", "r2", "p4", "r4", "now"]


def test_the_number_of_turns_is_limited_to_the_latest() -> None:
    """And what had to stay out is counted; 0 sends none."""
    conversation = of(*(turn(number) for number in range(5)))
    window = conversation.window("now", turns=2, token_budget=PLENTY)

    assert (window.turns, window.left_out) == (2, 3)
    assert contents(conversation, turns=2) == ["p3", "r3", "p4", "r4", "now"]
    assert contents(conversation, turns=0) == ["now"]


def test_F94_the_budget_takes_whole_turns_from_the_latest_back() -> None:
    """A turn that does not fit ends the window; an older, smaller one does not jump in."""
    conversation = of(turn(1), Turn("x" * 400, reply="y", state="complete"), turn(3))

    assert contents(conversation, token_budget=50) == ["p3", "r3", "now"]
    assert contents(conversation, token_budget=1) == ["now"]


def test_the_system_message_comes_first() -> None:
    """If there is one."""
    assert contents(of(turn(1)), system="Be brief")[0] == "Be brief"
    assert contents(of(turn(1)), system="")[0] == "p1"


def test_clearing_keeps_the_tree() -> None:
    """The line is empty, the next turn begins a new one, and old turns are not among its own."""
    conversation = of(turn(1), turn(2))

    assert conversation.clear() == 2
    assert conversation.line() == []
    third = turn(3)
    conversation.append(third)
    assert conversation.line() == [third]
    assert third.parent is None


@given(st.lists(st.text(max_size=40), max_size=12), st.integers(1, 120), st.integers(0, 12))
def test_a_window_keeps_its_limits(texts: list[str], budget: int, turns: int) -> None:
    """Whatever the turns: a suffix of the line, within both limits, the prompt whole."""
    conversation = of(*(Turn(text, reply=text, state="complete") for text in texts))
    window = conversation.window("now", turns=turns, token_budget=budget)
    sent = [str(message["content"]) for message in window.messages]

    assert sent[-1] == "now"
    assert sent[:-1] == [text for text in texts[len(texts) - window.turns :] for _ in "ab"]
    assert window.turns <= turns
    assert window.turns + window.left_out == len(texts)
    assert window.turns == 0 or sum(map(estimate_tokens, sent)) <= budget


def test_estimates_count_bytes() -> None:
    """A quarter of the UTF-8 bytes, rounded up; a lone surrogate is no error."""
    assert [estimate_tokens(text) for text in ("", "a", "abcd", "abcde", "при", "\ud800")] == [
        0,
        1,
        1,
        2,
        2,
        1,
    ]


STATES: list[State] = ["complete", "failed", "interrupted", "pending"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.sampled_from(STATES))))
def test_counts_are_those_of_the_line(steps: list[tuple[int, int, State]]) -> None:
    """Whatever happens to a tree, numbers and turns carried are as counted from the start."""
    conversation = of(turn(0))
    for action, place, state in steps:
        line = conversation.line()
        chosen = line[place % len(line)]
        if action == 0:
            conversation.branch(turn(1, state), chosen.id)
        elif action == 1:
            conversation.replace(chosen, turn(2, state))
        elif action == 2:
            conversation.append(turn(3, state))
        elif chosen.state == "pending":
            chosen.state = "complete"
        now = conversation.line()
        carried = sum(each.state in SENT for each in now)

        assert (len(now), carried) == conversation.counts(conversation.head)
        assert now[-1] is conversation.last
        assert carried == conversation.window("now", token_budget=0).left_out


def test_an_empty_line_counts_nothing() -> None:
    """Nothing in view is no turn, and no last one."""
    conversation = of(turn(1))
    conversation.clear()

    assert (0, 0) == conversation.counts(conversation.head)
    assert conversation.last is None


def test_a_cell_is_known_by_its_latest_turn_in_view() -> None:
    """A turn is found by its cell as it was added, put in place of another, or loaded."""
    conversation = of(Turn("a", cell="one"), Turn("b", cell="two"))
    conversation.replace(conversation.line()[0], made := Turn("c", cell="three"))
    loaded = Conversation("again", turns=conversation.turns(), head=conversation.head)

    assert made is conversation.made_by("three")
    assert made is loaded.made_by("three")
    assert conversation.made_by("one") is None
    assert conversation.made_by("") is None
