"""Replay: what it proves, and what it finds (D9)."""
