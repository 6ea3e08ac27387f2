"""The alerts, proved by Prometheus' own tool."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

PROMETHEUS = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
ASKED_FOR = {
    "ConcertFailureRateSpike",
    "ConcertCoordinationTime",
    "ConcertLockContention",
    "ConcertSubscriptionLag",
    "ConcertLogErrors",
    "ConcertPolicyFileRejected",
}


def alerts() -> set[str]:
    """The names of the alerts."""
    rules = yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text())
    return {rule["alert"] for group in rules["groups"] for rule in group["rules"]}


def promtool(*arguments: str) -> None:
    """Runs it; without it the test is skipped, where it is not demanded."""
    found = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if found is None:
        demanded = os.environ.get("CI") or os.environ.get("CONCERT_REQUIRE_PROMTOOL")
        assert not demanded, "promtool is not installed: it comes with Debian's package prometheus"
        pytest.skip("promtool is not installed: it comes with Debian's package prometheus")
    done = subprocess.run([found, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_rules() -> None:
    """M2: Prometheus takes the file as it is."""
    promtool("check", "rules", "alerts.yaml")


def test_each_alert_fires_when_it_should_and_not_before() -> None:
    """M2: by series that rise and fall again."""
    promtool("test", "rules", "alerts_test.yaml")


def test_every_alert_is_tested_and_none_is_missing() -> None:
    """M2: the alerts that were asked for are there, and each has a test that sees it fire."""
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yaml").read_text())["tests"]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert fired == alerts() >= ASKED_FOR
