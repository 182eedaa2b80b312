"""The fuzzing process: `python -m tests.fuzz.child TARGET [libFuzzer's options] CORPUS`.

It never returns: libFuzzer ends the process.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["gprochat_magic", "markdown_it"]):
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name].run)
    atheris.Fuzz()
