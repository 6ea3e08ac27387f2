"""Where a subscription starts: after a cursor, at a time, at an end of the log, or where a named one is."""

from __future__ import annotations

from typing import Any

from concert.v1 import event_service_pb2 as pb

from coordinator_service.ports import NamespacePort
from coordinator_service.rpc.validation import Faults, check_timestamp, name_fault, optional_name_fault


def check_start(faults: Faults, request: Any) -> int:
    """Checks the oneof `start` of a request. Nanoseconds since 1970 if it starts at a time, else 0."""
    faults.add("after.log_id", optional_name_fault(request.after.log_id))
    if request.WhichOneof("start") == "subscription":
        faults.add("subscription", name_fault(request.subscription))
    if request.position not in pb.StartPosition.values():
        faults.add("position", f"{request.position} is no value that this version knows")
    return check_timestamp(faults, request, "since")


async def start_of(port: NamespacePort, request: Any, since_ns: int) -> tuple[int, str]:
    """The sequence after which it starts, and the log that this is a position of, empty for whichever there is."""
    if request.HasField("after"):
        return int(request.after.sequence), str(request.after.log_id)
    if request.WhichOneof("start") == "subscription":
        cursor = await port.named_subscription(request.subscription)
        return cursor.sequence, cursor.log_id
    ends = await port.ends()
    if request.HasField("since"):
        return max(await port.locate(since_ns), ends.oldest_sequence - 1), ""
    return ends.oldest_sequence - 1 if request.position == pb.START_POSITION_EARLIEST else ends.last_sequence, ""
