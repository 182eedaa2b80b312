"""Faults of a campaign before a reply begins."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from tests.faults import texts
from tests.faults.plans import NOTHING, Plan, sound, written
from tests.faults.servers import Connection, Script, head, play, silent, whole

Fault = Callable[[random.Random], Plan]


def refused(dice: random.Random) -> Plan:
    return Plan((), NOTHING, refused=True)


def again(*scripts: Script) -> Fault:
    """Faults after which it is asked again: gone by the last attempt, or there in all three."""

    def draw(dice: random.Random) -> Plan:
        if dice.random() < 0.2:
            return Plan((dice.choice(scripts),), NOTHING)
        before = tuple(dice.choice(scripts) for _ in range(dice.randint(1, 2)))
        return sound(dice, texts.tagged(dice), before=before)

    return draw


def final(*answers: bytes) -> Fault:
    """Answers after which nothing is asked again, though the next would be a reply."""

    def draw(dice: random.Random) -> Plan:
        return Plan((play(*written(dice, dice.choice(answers))), play(whole("wrong"))), NOTHING)

    return draw


def statuses(*lines: str, headers: tuple[str, ...] = ()) -> tuple[bytes, ...]:
    words = ("no", "<html><title>нет</title>", '{"error": {"message": "не сейчас 🙂"}}', "")
    return tuple(
        whole(said, *(header for header in headers if header), status=status)
        for status in lines
        for said in words
    )


async def echo(connection: Connection) -> None:
    # A server that repeats what it was told must not get a signature onto the screen.
    request = connection.server.requests[-1]
    said = json.dumps({"error": {"message": f"{request.line} {request.content['sign']}"}})
    await connection.send(whole(said, status="401 Unauthorized"))


def late(dice: random.Random) -> Plan:
    wait = dice.choice(("3600", "1e999", "61"))
    refusal = whole("later", f"Retry-After: {wait}", status="429 Too Many Requests")
    return Plan((play(refusal), play(whole("wrong"))), NOTHING)


def mute(dice: random.Random) -> Plan:
    begun = dice.choice((b"", b"HTTP/1.1 200 OK\r\nX-Half: ", head("Content-Length: 4")))
    script = play(begun, silent)
    return Plan((script, play(whole("wrong"))), NOTHING, settings={"first_byte_timeout": 0.2})
