"""L6, D5 over the call that clients make: a caller that has gone does not take the place of one who still waits."""

from __future__ import annotations

from coordinator_service.core.answers import Acquired
from coordinator_service.core.commands import Release
from coordinator_service.rpc.lock_servicer import _Turn
from tests.shell.bench import Asked, Bench, acquire, settle, until


async def test_a_turn_that_is_left_does_not_withdraw_who_asked_again(bench: Bench) -> None:
    """As test_a_call_that_is_repeated_elsewhere_is_not_withdrawn_by_the_first, by the way that Acquire takes."""
    port = await bench.open()
    held = await port.call(acquire("r"), bench.caller("Acquire"))
    assert isinstance(held, Acquired)
    caller = bench.caller("Acquire")
    first = _Turn(port)
    first.ask(acquire("r", wait_ms=60_000), caller)
    await until(lambda: bool(port.sequencer.state.waiters))
    second = Asked(port, acquire("r", wait_ms=60_000), caller)
    first.leave()
    await settle()
    await port.call(Release(fencing_tokens=(held.grants[0].fencing_token,)), bench.caller("Release"))
    assert isinstance(await second.final(), Acquired)
