"""Coverage-guided fuzzing of what reads a stranger's bytes: `python -m tests.fuzz gateway`.

A target is a function of bytes that raises where an invariant does not hold. atheris makes the
bytes, from seeds of the tests' own corpora, and follows which lines of the package they reach.
"""
