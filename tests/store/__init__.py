"""The store, with real files and real processes."""
