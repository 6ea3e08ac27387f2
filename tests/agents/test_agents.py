"""The four agents around their work: what they declare, refuse, hand on and leave in shared state."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from concert.agent import Agent, PreconditionFailed

from agent_service.content.agent import ContentAgent
from agent_service.faults import ContentInvalid, Permanent, QualityNotMet
from agent_service.hosting import AGENTS, UnknownAgent, load_agent
from agent_service.infrastructure.agent import InfrastructureAgent
from agent_service.infrastructure.local import LocalProvider
from agent_service.quality_assurance.agent import QualityAssuranceAgent
from agent_service.request import deployment_request
from agent_service.security.agent import SecurityAgent
from agent_service.site import Site, written
from tests.agents.conftest import DOMAIN, RecordingAttempt


class Attempt(RecordingAttempt):
    """An attempt with everything an agent looks at. Staged state becomes true by `complete`."""

    def __init__(self, request: Mapping[str, Any], results: Mapping[str, Any], state: dict[str, Any]) -> None:
        super().__init__()
        self.run_id = "run-1"
        self.input: Any = None
        self.run_context: Any = dict(request)
        self.previous_results = dict(results)
        self.state = self
        self._kept = state
        self._staged: dict[str, Any] = {}

    def set_state(self, updates: Mapping[str, Any], *, strategy: str) -> None:
        assert strategy == "replace"
        self._staged.update(updates)

    def complete(self) -> None:
        self._kept.update(self._staged)

    async def get(self, key: str) -> Any:
        return SimpleNamespace(value=self._kept[key]) if key in self._kept else None

    async def update(self, updates: Mapping[str, Any], *, strategy: str) -> int:
        assert strategy == "replace"
        self._kept.update(updates)
        return 1


class Stage:
    """Lets agents act one after another, as a run would."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.request = request
        self.state: dict[str, Any] = {}
        self.results: dict[str, Any] = {}

    async def act(self, agent: Agent) -> Any:
        attempt: Any = Attempt(self.request, self.results, self.state)
        await agent.validate_preconditions(attempt)
        self.results[agent.name] = await agent.execute(attempt)
        attempt.complete()
        return self.results[agent.name]


@pytest.fixture
def stage(small_blog: list[Path]) -> Stage:
    return Stage({"domain": DOMAIN, "content_sources": [str(path) for path in small_blog]})


@pytest.mark.parametrize(
    ("name", "capabilities", "depends_on", "after"),
    [
        (
            "infrastructure",
            {
                "aws_resource_creation",
                "cloudfront_deployment",
                "route53_configuration",
                "ssl_certificate_management",
            },
            [],
            [],
        ),
        (
            "content",
            {"content_migration", "image_optimization", "metadata_extraction", "content_validation"},
            ["infrastructure"],
            [],
        ),
        (
            "security",
            {"ssl_configuration", "access_control", "security_headers", "vulnerability_scanning"},
            ["infrastructure"],
            [],
        ),
        (
            "quality_assurance",
            {"endpoint_testing", "content_validation", "security_scanning", "performance_testing"},
            ["infrastructure", "content"],
            ["security"],
        ),
    ],
)
def test_each_agent_declares_what_it_can_do_and_what_it_waits_for(
    name: str, capabilities: set[str], depends_on: list[str], after: list[str]
) -> None:
    """The names that runs refer to."""
    agent = load_agent(name)
    assert agent.name == name
    assert set(agent.capabilities) == capabilities
    assert [each.agent_name for each in agent.depends_on if not isinstance(each, str)] == depends_on
    assert [each.agent_name for each in agent.after if not isinstance(each, str)] == after


async def test_results_are_handed_on_and_left_in_shared_state(stage: Stage, provider: LocalProvider) -> None:
    """The four in their order, each working from what the ones before have left."""
    await stage.act(InfrastructureAgent(provider))
    await stage.act(ContentAgent())
    await stage.act(SecurityAgent())
    result = await stage.act(QualityAssuranceAgent())
    assert result["passed"]
    assert sorted(stage.state) == [f"sites/{DOMAIN}/{name}" for name in sorted(AGENTS)]
    assert stage.state[f"sites/{DOMAIN}/security"]["security_score"] == 1.0
    assert "paths" not in stage.state[f"sites/{DOMAIN}/content"]


async def test_no_secret_is_handed_on(stage: Stage, provider: LocalProvider) -> None:
    """What agents hand each other is in the log for ever: paths of secrets, not secrets."""
    site = await stage.act(InfrastructureAgent(provider))
    told = repr(site)
    for path in (Path(site["distribution"]["admin_token_file"]), provider.account.token_file):
        assert path.read_text() not in told


async def test_quality_that_is_not_met_fails_the_task_and_leaves_its_report(
    stage: Stage, provider: LocalProvider
) -> None:
    """Without the security agent's result of this very run, a site is found wanting."""
    await stage.act(InfrastructureAgent(provider))
    await stage.act(ContentAgent())
    stage.state[f"sites/{DOMAIN}/security"] = {"deployment_id": "run-0", "security_score": 1.0}
    with pytest.raises(QualityNotMet, match="left no score for this deployment"):
        await stage.act(QualityAssuranceAgent())
    report = stage.state[f"sites/{DOMAIN}/quality_assurance"]
    assert (report["passed"], report["deployment_id"]) == (False, "run-1")
    assert report["issues_found"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            ({"domain": "not a domain"}, "no domain name"),
            ({"credentials": {"token_file": "/nonexistent"}}, "CredentialsRefused"),
            ({"credentials": {"token": "in the log for ever"}}, "credentials"),
            ({"domain_ownership": "guess"}, "OwnershipNotProven"),
            ({"domain": "other.test"}, "OwnershipNotProven"),
        ],
    )
    async def test_infrastructure_needs_domain_credentials_and_ownership(
        self, stage: Stage, provider: LocalProvider, wrong: dict[str, Any], told: str
    ) -> None:
        """Refused before anything is made."""
        stage.request = {**stage.request, **wrong}
        with pytest.raises(PreconditionFailed, match=told):
            await stage.act(InfrastructureAgent(provider))
        assert not (provider.root / "buckets").exists()

    async def test_content_needs_accessible_sources(self, stage: Stage, tmp_path: Path) -> None:
        """Refused before anything is read."""
        stage.request = {**stage.request, "content_sources": [str(tmp_path / "missing")]}
        with pytest.raises(PreconditionFailed, match=r"SourceNotAccessible.*missing"):
            await stage.act(ContentAgent())

    async def test_a_broken_post_fails_for_good(self, stage: Stage, site: Site, small_blog: list[Path]) -> None:
        """Trying again cannot help, and the type says so."""
        (small_blog[0] / "bad.md").write_text("no front matter")
        stage.results["infrastructure"] = written(site)
        with pytest.raises(ContentInvalid, match=r"bad\.md") as refused:
            await stage.act(ContentAgent())
        assert isinstance(refused.value, Permanent)

    @pytest.mark.parametrize(
        ("value", "told"),
        [
            (None, "object"),
            ({"content_sources": ["x"]}, "domain"),
            ({"domain": "a.test", "content_sources": []}, "1 to 100"),
            ({"domain": "a.test", "content_sources": ["x"], "extra": 1}, "unknown field `extra`"),
            (
                {"domain": "a.test", "content_sources": ["x"], "security_requirements": {"ssl_redirect": "yes"}},
                "ssl_redirect",
            ),
            (
                {"domain": "a.test", "content_sources": ["x"], "quality_thresholds": {"min_security_score": 2}},
                "min_security_score",
            ),
        ],
    )
    def test_a_deployment_takes_exactly_its_fields(self, value: Any, told: str) -> None:
        """The field at fault is named."""
        with pytest.raises(ValueError, match=told):
            deployment_request(value)

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("nobody", "neither one of"),
            ("no.such.module:Agent", "cannot be loaded"),
            ("agent_service.site:Nothing", "cannot be loaded"),
            ("agent_service.site:Site", "does not derive"),
        ],
    )
    def test_what_is_no_agent_is_not_hosted(self, name: str, told: str) -> None:
        """And the reason is told."""
        with pytest.raises(UnknownAgent, match=told):
            load_agent(name)
