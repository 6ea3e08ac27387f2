"""Conformance: the scenarios that every client must pass, and the runner that judges (README.md)."""
