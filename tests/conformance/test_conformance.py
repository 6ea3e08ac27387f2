"""Every client passes every scenario; a language whose toolchain is missing is left out, unless all are required."""

from __future__ import annotations

import pytest

from clients.conformance.driver import Language, languages
from clients.conformance.scenario import scenarios_for
from clients.conformance.suite import run_suite
from tests.conformance.toolchains import made

AT_ONCE = 8


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("language", languages(), ids=lambda language: language.key)
async def test_the_client_passes_every_scenario(language: Language) -> None:
    """Judged by the event log and the answers."""
    made(language)
    verdicts = await run_suite(language, scenarios_for(basic=language.basic), at_once=AT_ONCE)
    failed = [f"{each.scenario.topic}: {each.scenario.name}\n  {each.failure}" for each in verdicts if each.failure]
    assert not failed, "\n".join(failed)
