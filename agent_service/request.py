"""What a deployment asks for: exactly these fields, checked before anything is submitted and again by each agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from agent_service.content.posts import source_directory
from agent_service.infrastructure.zone import is_domain_name
from agent_service.site import QualityThresholds, SecurityRequirements, read

SOURCES_MAX = 100


class DeploymentRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The input of a deployment."""

    domain: str
    # Paths of folders, or {"path": ...}.
    content_sources: list[Any]
    security_requirements: SecurityRequirements = SecurityRequirements()
    quality_thresholds: QualityThresholds = QualityThresholds()

    def __post_init__(self) -> None:
        if not is_domain_name(self.domain):
            raise ValueError(f"{self.domain!r} is no domain name")
        if not 0 < len(self.content_sources) <= SOURCES_MAX:
            raise ValueError(f"content_sources names 1 to {SOURCES_MAX} folders")

    @property
    def directories(self) -> list[Path]:
        """The folders of content_sources. Raises SourceNotAccessible for an entry that names none."""
        return [source_directory(given) for given in self.content_sources]


def deployment_request(value: Any, *, base: Path | None = None) -> DeploymentRequest:
    """Reads the input. Relative paths are taken from `base`. Raises ValueError naming the field at fault."""
    request = read(value, DeploymentRequest, "deployment input")
    if base is None:
        return request
    sources = [str((base / directory).resolve()) for directory in request.directories]
    return msgspec.structs.replace(request, content_sources=sources)


def requested(run_context: Any, task_input: Any) -> DeploymentRequest:
    """The deployment that an attempt belongs to: the run's context, overridden by the task's own input.

    Fields that only one agent knows, such as credentials, are left to that agent. Raises ValueError.
    """
    merged = merged_input(run_context, task_input)
    known = {name: merged[name] for name in DeploymentRequest.__struct_fields__ if name in merged}
    return deployment_request(known)


def merged_input(run_context: Any, task_input: Any) -> dict[str, Any]:
    """Everything the attempt was asked for."""
    merged: dict[str, Any] = {}
    for given in (run_context, task_input):
        if isinstance(given, dict):
            merged.update(given)
    return merged


def state_key(domain: str, agent_name: str) -> str:
    """Where an agent leaves what it knows of a site, in shared state."""
    return f"sites/{domain}/{agent_name}"
