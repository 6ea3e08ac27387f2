"""docs/state.md: every block on it runs, one after the other, against a real coordinator."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import concert

from tests.coordinator_process import coordinator_process

GUIDE = (Path(__file__).parents[2] / "docs/state.md").read_text()


async def test_the_guide_to_shared_state_runs_as_it_stands(tmp_path: Path) -> None:
    """S1, S2, S3, S6, S8: what is taught is what happens."""
    blocks = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert len(blocks) == 8
    source = "async def guide(client):\n" + textwrap.indent("".join(blocks), "    ")
    names: dict[str, Any] = {"concert": concert}
    exec(source, names)
    with coordinator_process(tmp_path, durable=False) as process:
        async with concert.connect(process.address) as client:
            await names["guide"](client)


def test_the_guide_names_the_limits_that_hold() -> None:
    """S1: its figures are the defaults."""
    from coordinator_service.core.limits import Limits

    limits = Limits()
    assert f"`state_history_values_max` ({limits.state_history_values_max})" in " ".join(GUIDE.split())
    assert f"`state_history_ms` ({limits.state_history_ms // 60_000} minutes)" in " ".join(GUIDE.split())
    assert f"`state_retention_ms` ({limits.state_retention_ms // 3_600_000} hour)" in " ".join(GUIDE.split())
