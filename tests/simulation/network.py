"""The network between those who ask and whoever coordinates: it loses requests and replies, delivers them late, twice,
or once more when nobody expects it; and callers lose their patience.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

from coordinator_service.core.commands import Acquire
from coordinator_service.core.invariants import InvariantBroken
from coordinator_service.core.rejections import InvalidField, Rejection
from coordinator_service.rpc.operation import Scope
from tests.simulation.coordinator import Call, Coordinator, Lost
from tests.simulation.wire import Asked, Heard, travel

if TYPE_CHECKING:
    from tests.simulation.world import World

ANSWER_SECONDS_MAX = 60.0
"""Longer than any wait for a lock: by then every call that reached a coordinator was answered."""


async def ask(world: World, asked: Asked, random: Random) -> Heard:
    """One try. Raises Lost when nothing was heard; a refusal is heard."""
    faults = world.faults
    coordinator = world.anybody()
    if coordinator is None or faults.strikes("command_lost"):
        await asyncio.sleep(faults.delay(0.5))
        raise Lost
    try:
        port = await coordinator.port()
    except Rejection as refusal:
        return Heard(refusal)
    if coordinator.dead:
        raise Lost
    if faults.strikes("command_late"):
        await asyncio.sleep(faults.delay(3.0))
        if coordinator.dead:
            raise Lost
    try:
        command, caller, scope = asked.prepare(port.namespace, port.log_id)
    except InvalidField as refusal:
        if not asked.malformed:
            raise
        return travel(asked.operation, refusal, Scope(namespace=port.namespace, log_id=port.log_id))
    if asked.malformed:
        raise InvariantBroken(f"{asked} is malformed and was let in: {command}")
    if faults.strikes("command_again_later"):
        world.spawn(_again(world, asked, _later(world, random)), "a request of long ago")
    impatient = faults.strikes("impatient")
    if impatient and not asked.session_id and isinstance(command, Acquire):
        return await _call_and_leave(world, coordinator, asked)
    call = coordinator.submit(port, command, caller, asked)
    if asked.request_id and faults.strikes("command_twice"):
        coordinator.submit(port, *asked.prepare(port.namespace, port.log_id)[:2], asked)
    heard = travel(asked.operation, await _wait(world, call, impatient=impatient), scope)
    if faults.strikes("reply_lost"):
        raise Lost
    return heard


async def _wait(world: World, call: Call, *, impatient: bool) -> object:
    try:
        async with asyncio.timeout(world.faults.delay(2.0) if impatient else ANSWER_SECONDS_MAX):
            return await asyncio.shield(call.answered)
    except TimeoutError:
        if not impatient:
            raise InvariantBroken(f"8: nobody answered {call.command}") from None
        raise Lost from None


async def _call_and_leave(world: World, coordinator: Coordinator, asked: Asked) -> Heard:
    """As a unary call that its client cancels: the request is withdrawn (L6)."""
    try:
        port = await coordinator.port()
    except Rejection as refusal:
        return Heard(refusal)
    command, caller, scope = asked.prepare(port.namespace, port.log_id)
    try:
        async with asyncio.timeout(world.faults.delay(2.0)):
            answer = await port.call(command, caller)
    except TimeoutError:
        raise Lost from None
    except Rejection as refusal:
        if coordinator.dead:
            raise Lost from None
        return travel(asked.operation, refusal, scope)
    if coordinator.dead:
        raise Lost
    coordinator.heard_elsewhere(asked, command, caller, answer)
    return travel(asked.operation, answer, scope)


def _later(world: World, random: Random) -> float:
    """Some time within the window in which a repetition is recognised, often at its very end."""
    window = world.limits.request_window_ms / 1000
    tick = 1 / (world.loop.grid or 1000)
    return random.choice((random.random() * window, window - tick, window, window + tick))


async def _again(world: World, asked: Asked, seconds: float) -> None:
    """A copy that was on its way for so long."""
    await asyncio.sleep(seconds)
    coordinator = world.anybody()
    if world.calm or coordinator is None or not asked.request_id:
        return
    try:
        port = await coordinator.port()
    except (Rejection, Lost):
        return
    if not coordinator.dead and not world.calm:
        world.note(f"{asked}: a copy of long ago arrives")
        coordinator.submit(port, *asked.prepare(port.namespace, port.log_id)[:2], asked)
