"""The quality assurance agent: looks at the finished site as a visitor, and says whether it is good enough."""

from __future__ import annotations

from typing import Any

import concert
from concert.agent import Agent, PreconditionFailed, TaskContext

from agent_service.faults import QualityNotMet
from agent_service.quality_assurance.checks import assure
from agent_service.request import DeploymentRequest, requested, state_key
from agent_service.site import ContentResult, QualityResult, SecurityResult, Site, read, written

ISSUES_TOLD_MAX = 10
PLACES_TOLD_MAX = 3


class QualityAssuranceAgent(Agent):
    """Needs infrastructure and content. Security only has to be over: a site that could not be hardened is still looked
    at, and found wanting."""

    name = "quality_assurance"
    capabilities = ("endpoint_testing", "content_validation", "security_scanning", "performance_testing")
    depends_on = (concert.on_agent("infrastructure"), concert.on_agent("content"))
    after = (concert.on_agent("security"),)

    async def validate_preconditions(self, context: TaskContext) -> None:
        """Refuses a malformed request."""
        try:
            requested(context.run_context, context.input)
        except ValueError as error:
            raise PreconditionFailed(str(error)) from error

    async def execute(self, context: TaskContext) -> Any:
        """Returns a QualityResult. Raises QualityNotMet, after it has left the report in shared state, so that whatever
        depends on quality does not go on."""
        request = requested(context.run_context, context.input)
        result = await assure(
            read(context.previous_results["infrastructure"], Site, "result of infrastructure"),
            read(context.previous_results["content"], ContentResult, "result of content"),
            request.security_requirements,
            request.quality_thresholds,
            await self._security_score(context, request),
            context,
        )
        report = {**written(result), "deployment_id": context.run_id}
        key = state_key(request.domain, self.name)
        if not result.passed:
            await context.state.update({key: report}, strategy="replace")
            raise QualityNotMet(_why(result))
        context.set_state({key: report}, strategy="replace")
        return written(result)

    async def _security_score(self, context: TaskContext, request: DeploymentRequest) -> float | None:
        """The score of this very deployment: a result is handed over by depends_on only, so it is read from state."""
        entry = await context.state.get(state_key(request.domain, "security"))
        if entry is None or entry.value.get("deployment_id") != context.run_id:
            return None
        return read(entry.value, SecurityResult, "result of security").security_score


def _why(result: QualityResult) -> str:
    """The same thing wrong on many pages is one line."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for issue in result.issues_found:
        places.setdefault((issue.severity, issue.check, issue.what), []).append(issue.where)
    lines = [f"{kind[0]} {kind[1]}: {kind[2]} ({_places(where)})" for kind, where in places.items()]
    more = len(lines) - ISSUES_TOLD_MAX
    told = lines[:ISSUES_TOLD_MAX] + ([f"and {more} more"] if more > 0 else [])
    return f"{result.checks_run - result.checks_passed} of {result.checks_run} checks failed:\n" + "\n".join(told)


def _places(where: list[str]) -> str:
    more = len(where) - PLACES_TOLD_MAX
    return ", ".join(where[:PLACES_TOLD_MAX]) + (f" and {more} more" if more > 0 else "")
