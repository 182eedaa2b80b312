"""The faults of a campaign, by name: each draws a plan at random."""

from __future__ import annotations

import asyncio
import codecs
import gzip
import random

from gprochat_magic.tail import HEADER, tail
from tests.faults import early, texts
from tests.faults.early import Fault
from tests.faults.plans import (
    BROKEN,
    FRAMINGS,
    NOTHING,
    UNPROVEN,
    WHOLE,
    Began,
    Plan,
    a_moment,
    answered,
    ended,
    framed,
    sound,
    written,
)
from tests.faults.servers import (
    CHUNKED,
    END,
    Connection,
    chunk,
    close_now,
    drip,
    half_close,
    head,
    hold,
    play,
    reset,
    whole,
)

BRIEF = {"first_byte_timeout": 0.5, "idle_timeout": 0.2}
"""Seconds, where the fault is a silence."""


def _none(dice: random.Random) -> Plan:
    return sound(dice, texts.tagged(dice))


def _short(dice: random.Random) -> Plan:
    body = texts.tagged(dice)[: dice.randint(1, 400)]
    data = framed(dice, body, "length", more=dice.randint(1, 99))
    ending = dice.choice(([], [half_close]))
    return answered(dice, body, data, states=BROKEN, then=ending)


def _unterminated(dice: random.Random) -> Plan:
    body = texts.tagged(dice)
    body = body[: dice.randint(1, len(body))]
    ending = dice.choice(([], [half_close]))
    data = framed(dice, body, "chunked")
    if dice.random() < 0.5:
        return answered(dice, body, data, states=BROKEN, then=ending)
    # Cut anywhere in what is on the wire, also inside the size of a chunk or the last chunk.
    data += END
    first = data.index(b"\r\n\r\n") + 4
    data = data[: dice.randint(first, len(data) - 1)]
    return answered(dice, body, data, states=BROKEN, then=ending, all_of_it=False)


def _half_terminated(dice: random.Random) -> Plan:
    body = texts.tagged(dice)
    data = framed(dice, body, "chunked") + END[: dice.randint(1, len(END) - 1)]
    return answered(dice, body, data, states=BROKEN)


def _reset(dice: random.Random) -> Plan:
    body, framing = texts.tagged(dice), dice.choice(FRAMINGS)
    body = body[: dice.randint(1, len(body))]
    began = Began()
    data = framed(dice, body, framing, more=9)
    states = BROKEN | UNPROVEN if framing == "none" else BROKEN
    script = play(began, *written(dice, data), began.reset)
    return Plan((script,), states, body, began=began)


def _bad_chunk(dice: random.Random) -> Plan:
    body = texts.tagged(dice)
    bad = dice.choice(
        (b"zz\r\nlo\r\n", b"2\r\nloXX2\r\nlo\r\n", b"-2\r\nlo\r\n", b"f" * 40 + b"\r\n")
    )
    data = framed(dice, body, "chunked") + bad
    plan = answered(dice, body + b"lo", data, states=BROKEN, then=[hold], all_of_it=False)
    plan.settings = BRIEF
    return plan


def _unproven(dice: random.Random) -> Plan:
    body = texts.tagged(dice)
    body = body[: dice.randint(1, len(body))]
    data = framed(dice, body, "none")
    return answered(dice, body, data, states=UNPROVEN, then=dice.choice(([], [half_close])))


def _packed(dice: random.Random) -> Plan:
    body = gzip.compress(texts.tagged(dice))[: dice.choice((-4, 1000))]
    header = dice.choice(("Content-Encoding", "Transfer-Encoding")) + ": gzip"
    script = play(*written(dice, head(header) + body))
    return Plan((script, play(whole("wrong"))), NOTHING)


def _stalled(dice: random.Random) -> Plan:
    body, framing = texts.tagged(dice), dice.choice(FRAMINGS)
    body = body[: dice.randint(1, len(body))]
    data = framed(dice, body, framing, more=9)
    plan = answered(dice, body, data, states=BROKEN, then=[hold], all_of_it=False)
    plan.settings = BRIEF
    return plan


def _dripping(dice: random.Random) -> Plan:
    body, began = texts.tagged(dice)[:100].ljust(100), Began()
    pieces = [chunk(body[at : at + 1]) for at in range(len(body))]
    script = play(began, head(CHUNKED), drip(pieces, seconds=0.01), hold)
    return Plan((script,), BROKEN, body, began=began, settings={"timeout": 0.3})


def _extra(dice: random.Random) -> Plan:
    body = texts.tagged(dice)
    data = ended(dice, body, "length") + whole("wrong")
    plan = answered(dice, body, data, states=WHOLE)
    # What a server says only once the next request is there cannot be told from its answer.
    plan.said = asyncio.Event()
    script = plan.scripts[0]

    async def said(connection: Connection) -> None:
        await script(connection)
        plan.said.set()
        await hold(connection)

    plan.scripts = (said,)
    return plan


def _bytewise(dice: random.Random) -> Plan:
    body = texts.tagged(dice)[:99]
    steps = [step for at in range(len(body)) for step in (chunk(body[at : at + 1]), a_moment)]
    began = Began()
    return Plan(
        (play(began, head(CHUNKED), *steps, END),), WHOLE, body, all_of_it=True, began=began
    )


def _spoilt(*among: bytes) -> Fault:
    return lambda dice: sound(dice, texts.spoilt(dice, texts.tagged(dice), among))


def _half_character(dice: random.Random) -> Plan:
    return sound(dice, texts.tagged(dice) + "🙂".encode()[: dice.randint(1, 3)])


def _marked(dice: random.Random) -> Plan:
    return sound(dice, codecs.BOM_UTF8 * dice.randint(1, 2) + texts.tagged(dice))


def _counted(dice: random.Random) -> Plan:
    body = texts.tagged(dice)
    behind = tail(dice.randint(0, 9999), dice.randint(0, 9999))
    data = head(CHUNKED, f"{HEADER}: end")
    data += b"".join(chunk(piece) for piece in texts.cut(dice, body + behind)) + END
    return answered(dice, body, data, states=WHOLE)


def _informed(dice: random.Random) -> Plan:
    body = texts.tagged(dice)
    data = head(status="103 Early Hints") * dice.randint(1, 50) + ended(dice, body, "length")
    return answered(dice, body, data, states=WHOLE)


def _stopped(dice: random.Random) -> Plan:
    plan = dice.choice((_stalled, _dripping))(dice)
    plan.settings, plan.stop = {}, dice.choice((0, 0.001, 0.01, 0.05))
    return plan


def _several(dice: random.Random) -> Plan:
    """Asked again up to twice, then strange bytes in the text, then an end of any kind."""
    body = texts.tagged(dice)
    for strange in dice.sample((texts.BROKEN, texts.CONTROLS, (codecs.BOM_UTF8,)), 2):
        body = texts.spoilt(dice, body, strange)
    before = tuple(dice.choice(_GONE) for _ in range(dice.randint(0, 2)))
    framing = dice.choice(FRAMINGS)
    if dice.random() < 0.5:
        return sound(dice, body, framing=framing, before=before)
    data = framed(dice, body, framing, more=9)
    states = UNPROVEN if framing == "none" else BROKEN
    then = dice.choice(([], [half_close]))
    return answered(dice, body, data, states=states, before=before, then=then)


_BUSY = tuple(
    play(answer)
    for answer in early.statuses(
        "503 Service Unavailable", "500 No", "529 No", headers=("Retry-After: -5",)
    )
)
_SOON = tuple(
    play(answer)
    for header in ("Retry-After: 0.01", "retry-after-ms: 5", "Retry-After: nan")
    for answer in early.statuses("429 Too Many Requests", "503 Busy", headers=(header,))
)
_GONE = (close_now, play(), play(reset), play(b"HTTP/1.1 200 OK\r\nX-Ha"), *_SOON)

FAULTS: dict[str, Fault] = {
    "no fault": _none,
    "F01 connection refused": early.refused,
    "F10 closed before the status": early.again(close_now, play()),
    "F11 reset before the status": early.again(play(reset)),
    "F12 half a header": early.again(play(b"HTTP/1.1 200 OK\r\nContent-Le")),
    "F14 no HTTP": early.final(b"SSH-2.0-x\r\n\r\n", head("X: " + "x" * 9000), head("no header")),
    "F15 informational answers": _informed,
    "F17 silence instead of a reply": early.mute,
    "F20 refused for good": early.final(
        *early.statuses("400 No", "404 No", "413 No", "422 No", "403 No")
    ),
    "F21 signature refused, repeated": lambda dice: Plan(
        (play(early.echo), play(whole())), NOTHING
    ),
    "F24 replay": lambda dice: sound(
        dice, texts.tagged(dice), before=(play(dice.choice(early.statuses("409 Conflict"))),)
    ),
    "F25 asked to wait": early.again(*_SOON),
    "F27 asked to wait too long": early.late,
    "F28 server failed": early.again(*_BUSY),
    "F29 redirected": early.final(
        *early.statuses("301 A", "302 B", "303 C", "307 D", "308 E", headers=("Location: /other",))
    ),
    "F30 no text": early.final(head(status="204 No"), whole(""), head(CHUNKED) + END, head()),
    "F31 a web page": early.final(whole("<title>Log in</title>", "Content-Type: text/html")),
    "F32 an error object": early.final(
        whole('{"error": {"message": "нет"}}', "Content-Type: application/json")
    ),
    "F40 length too long": _short,
    "F41 no last chunk": _unterminated,
    "F41 half a last chunk": _half_terminated,
    "F42 reset midway": _reset,
    "F43 bad chunk": _bad_chunk,
    "F45 no framing": _unproven,
    "F46 compressed": _packed,
    "F49 dripping": _dripping,
    "F50 silence midway": _stalled,
    "F51 extra bytes": _extra,
    "F52 single bytes": _bytewise,
    "F53 bytes that are no text": _spoilt(*texts.BROKEN),
    "F54 half a character": _half_character,
    "F55 byte order marks": _marked,
    "F56 control characters": _spoilt(*texts.CONTROLS),
    "F67 stopped by the reader": _stopped,
    "token counts behind the text": _counted,
    "several of these": _several,
}
"""Drawn from with equal chances, but for the last, which is drawn as often as a quarter of all."""
