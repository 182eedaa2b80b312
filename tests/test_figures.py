"""The page of figures has what its commands print, and fails where one of them does."""

from __future__ import annotations

import pytest

from tests import figures


def test_the_page_has_each_command_and_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    """A table stays one, other text is fenced; a command that fails is seen in the exit status."""
    good = {"table": "-c 'print(\"| a |\")'"}
    bad = {"fault": "-c 'raise SystemExit(print(\"lost: 1\") or 3)'"}

    assert (figures.page(good), figures.page({**bad, **good})) == (0, 1)
    said = capsys.readouterr().out
    assert said.count("# Figures\n") == 2
    assert "exit status 3" in said
    assert "\n\n| a |\n" in said
    assert "\n\n```\nlost: 1\n```\n" in said


def test_a_part_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing runs for a slip."""
    with pytest.raises(SystemExit):
        figures.main(["sped"])

    assert "no part sped" in capsys.readouterr().err
