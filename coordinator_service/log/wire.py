"""The messages of concert.v1 with every Payload left as bytes, so that the log need not parse payloads.

On the wire a message field and a bytes field are the same (a tag, a length, bytes). So the descriptors of
concert.v1 are copied into a pool of their own in which each field of type Payload is `optional bytes`. A
payload then travels from a publisher to a subscriber as it was sent, byte for byte, and costs a copy.
"""

from __future__ import annotations

from concert.v1 import event_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import Message

from coordinator_service.log.mirror import PACKAGE, Mirror

_PAYLOAD = f".{PACKAGE}.Payload"


def _add_file(pool: descriptor_pool.DescriptorPool, file: FileDescriptor, done: set[str]) -> None:
    """Adds a file after those it imports."""
    if file.name in done:
        return
    done.add(file.name)
    for imported in file.dependencies:
        _add_file(pool, imported, done)
    copy = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(copy)
    for message in copy.message_type:
        _leave_payloads_as_bytes(message)
    pool.Add(copy)


def _leave_payloads_as_bytes(message: descriptor_pb2.DescriptorProto) -> None:
    for field in message.field:
        if field.type_name == _PAYLOAD:
            field.ClearField("type_name")
            field.type = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
            field.proto3_optional = True
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{field.name}")


def _wire_pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    _add_file(pool, event_pb2.DESCRIPTOR, set())
    return pool


_POOL = _wire_pool()


def wire_class(name: str) -> type[Message]:
    """The message class of concert.v1 by that name, with payloads as bytes."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))


WIRE = Mirror(wire_class)
"""The table of mirror.py over these classes."""
