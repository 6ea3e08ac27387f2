"""/metrics, as Prometheus scrapes it."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import concert
import pytest
import yaml
from concert.agent import Agent, AgentHost, TaskContext
from prometheus_client.parser import text_string_to_metric_families

from coordinator_service.core.histogram import BOUNDS_NS, Histogram
from coordinator_service.telemetry.metrics import _cumulative

from .conftest import Browser

AWKWARD = 'a"b\\c{}<script>,='


class Worker(Agent):
    """Fails when it is told to."""

    name = "pages"
    capabilities = ("work",)

    async def execute(self, context: TaskContext) -> Any:
        """Does nothing, or fails."""
        if context.input == "fail":
            raise concert.agent.NotRetryable("told to")


async def do_some(client: concert.Client, address: str, name: str = "pages") -> None:
    """Two tasks that succeed and one that does not, and a lock that is waited for."""
    worker = Worker()
    worker.name = name
    async with AgentHost(worker, address=address) as host:
        await host.registered()
        tasks = [concert.task(str(each), capability="work", input="fail" if each == 2 else "") for each in range(3)]
        await (await client.submit_run(tasks=tasks)).wait()
    async with client.session() as session:
        async with session.lock("door"):
            waiting = asyncio.create_task(_pass(client))
            while not (await client.locks.list())[0].waiters:  # noqa: ASYNC110 (nothing tells)
                await asyncio.sleep(0.01)
        await waiting


async def _pass(client: concert.Client) -> None:
    async with client.lock("door"):
        pass


async def test_the_three_names_that_were_asked_for(browser: Browser, client: concert.Client) -> None:
    """M2: the active count, execution time and failure rate of the orchestration, with their types and true values."""
    await do_some(client, browser.server.address)
    waiting = await client.submit_run(tasks=[concert.task("t", capability="nobody")])
    families = {family.name: family for family in text_string_to_metric_families(await browser.metrics_text())}
    assert families["orchestration_active_count"].type == "gauge"
    assert families["orchestration_agent_execution_time"].type == "histogram"
    assert families["orchestration_agent_failure_rate"].type == "gauge"
    labels = {"namespace": "default", "agent_name": "pages"}
    assert await browser.value("orchestration_active_count", namespace="default") == 1
    assert await browser.value("orchestration_agent_execution_time_count", **labels) == 3
    assert await browser.value("orchestration_agent_execution_time_bucket", **labels, le="+Inf") == 3
    assert 0 < await browser.value("orchestration_agent_execution_time_sum", **labels) < 60
    assert await browser.value("orchestration_agent_failure_rate", **labels) == pytest.approx(1 / 3)
    await waiting.cancel()


async def test_what_is_counted_elsewhere_is_shown(browser: Browser, client: concert.Client) -> None:
    """M2: waits and holds, decisions by type, the log's own times, subscriptions, sessions and the process."""
    await do_some(client, browser.server.address)
    await client.state.update({"a": 1})
    samples = await browser.samples()

    def value(name: str, **labels: str) -> float:
        return samples[name, tuple(sorted(labels.items()))]

    assert value("concert_coordination_wait_seconds_count", namespace="default", agent_name="pages") == 3
    assert value("concert_lock_wait_seconds_count", namespace="default") >= 1
    assert value("concert_lock_hold_seconds_count", namespace="default") == 2
    assert value("concert_events_total", namespace="default", type="task_assigned") == 3
    assert value("concert_conflicts_total", namespace="default") == 0
    assert value("concert_runs_total", namespace="default", status="partial_failure") == 1
    assert value("concert_log_append_seconds_count") >= value("concert_log_fsync_seconds_count") > 0
    assert value("concert_log_batch_events_sum") == value("concert_log_last_sequence", namespace="default")
    assert value("concert_namespace_up", namespace="default") == 1
    assert ("process_cpu_seconds_total", ()) in samples
    assert ("python_info" in {name for name, _ in samples}) is True


async def test_subscriptions_and_how_far_behind_they_are(browser: Browser, client: concert.Client) -> None:
    """M2: a subscription that is read is counted while it is."""
    reading = client.subscribe(start="earliest")
    iterator = aiter(reading)
    await anext(iterator)
    assert await browser.value("concert_subscriptions", namespace="default") == 1
    await iterator.aclose()
    await reading.aclose()
    while await browser.value("concert_subscriptions", namespace="default"):  # noqa: ASYNC110 (nothing tells)
        await asyncio.sleep(0.02)


async def test_labels_are_names_and_stay_text(browser: Browser, client: concert.Client) -> None:
    """M2: no label is an id, and what a label says is escaped, whatever it is."""
    await do_some(client, browser.server.address, AWKWARD)
    assert await browser.value("concert_attempts_total", namespace="default", agent_name=AWKWARD) == 3
    known = {"namespace", "agent_name", "type", "state", "status", "outcome", "reason", "le", "version", "replica_id"}
    process = {"generation", "implementation", "major", "minor", "patchlevel"}
    for name, labels in await browser.samples():
        assert {key for key, _ in labels} <= known | process, name


async def test_a_restart_zeroes_nothing(tmp_path: Path) -> None:
    """M2: counters are folds of the log."""
    import aiohttp

    from tests.rpc.serving import serving

    counted = []
    for _ in range(2):
        async with (
            serving(tmp_path, event_store="sqlite", metrics_listen="127.0.0.1:0") as server,
            concert.connect(server.address) as client,
            aiohttp.ClientSession() as session,
        ):
            await client.state.update({str(len(counted)): 1})
            labels = {"namespace": "default", "type": "state_updated"}
            counted.append(await Browser(server, session).value("concert_events_total", **labels))
    assert counted == [1, 2]


def test_a_histogram_is_shown_without_estimates() -> None:
    """M2: the buckets of the fold are added up to the wider ones that are shown; sum and count stay what they are."""
    histogram = Histogram()
    for bound in BOUNDS_NS:
        histogram.add(bound)
        histogram.add(bound + 1)
    shown = _cumulative(histogram)
    for bound, count in shown[:-1]:
        limit_ns = round(float(bound) * 1e9)
        assert count == sum(2 for each in BOUNDS_NS if each < limit_ns) + 1
    assert shown[-1] == ("+Inf", 2 * len(BOUNDS_NS))


DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
NAME = re.compile(r"\b((?:concert|orchestration|process|python)_[a-z_]+)\b")


async def test_what_dashboards_and_alerts_name_exists(browser: Browser, client: concert.Client) -> None:
    """M2: every metric that the dashboard, an alert or an autoscaler reads is one that a coordinator shows."""
    await do_some(client, browser.server.address)
    shown = {name for name, _ in await browser.samples()}
    shown |= {"concert_policy_file_ok", "concert_policy_file_loaded_timestamp_seconds"}  # where there is a file
    shown |= {
        "concert_spans_dropped_total",
        "concert_span_lag_events",
        "concert_span_collector_up",
    }  # where tracing is on
    shown |= {"concert_spans_exported_total"}
    shown |= {"concert_refusals_total"}  # where callers are authenticated
    dashboard = json.loads((DEPLOY / "grafana" / "concert.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    queries.append(json.dumps(dashboard["templating"]))
    queries += [(DEPLOY / "prometheus" / "alerts.yaml").read_text()]
    adapter = yaml.safe_load((DEPLOY / "kubernetes/components/queue-depth/adapter-rules.yaml").read_text())
    queries += [rule["seriesQuery"] for rules in adapter.values() for rule in rules]
    named = {name for query in queries for name in NAME.findall(query)}
    assert named - shown == set()
    assert len(queries) > 10
