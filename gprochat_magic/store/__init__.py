"""Conversations in one SQLite file that is private to the user and outlives the kernel."""

from __future__ import annotations

from gprochat_magic.store.backlog import Outcome
from gprochat_magic.store.records import Hit, Loaded, Summary
from gprochat_magic.store.store import Store

__all__ = ["Hit", "Loaded", "Outcome", "Store", "Summary"]
