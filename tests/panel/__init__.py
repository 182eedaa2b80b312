"""The chat panel without a browser."""
