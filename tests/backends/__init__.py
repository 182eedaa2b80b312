"""Backends: against scripted servers, an independent fake, and a real engine."""
