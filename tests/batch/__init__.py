"""A prompt over data."""
