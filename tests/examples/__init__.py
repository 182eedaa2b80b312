"""The examples, run as far as one machine can."""
