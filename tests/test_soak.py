"""Hundreds of replies with random faults, thousands of turns: small runs of the two commands."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.campaign import campaign
from tests.faults.drawn import FAULTS
from tests.faults.soak import soak

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]


def test_replies_with_random_faults() -> None:
    """Nothing is wrong, repeated, left behind or told; every fault was drawn."""
    report = asyncio.run(campaign(300, seed=1))

    assert report.sound, str(report)
    assert set(FAULTS) == {verdict.fault for verdict in report.verdicts}


def test_many_turns() -> None:
    """Memory, descriptors, threads and tasks stay as they were."""
    course = asyncio.run(soak(1500, seed=1))

    assert course.flat, str(course)
    assert {"complete", "interrupted", "failed"} == set(course.ends)
