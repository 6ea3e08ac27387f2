"""Fixtures: a namespace without a shell, for what the core decides about policies."""

from __future__ import annotations

from tests.core.conftest import namespace, open_namespace

__all__ = ["namespace", "open_namespace"]
