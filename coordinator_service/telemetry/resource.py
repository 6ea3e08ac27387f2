"""The resource of spans: what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say, and the log that they are of.

Nothing of this process is in it (T1): whichever replica exports the span of an event, and however often, it is the
same span. So the SDK's own detectors, which draw a random service.instance.id, are asked for nothing else.
"""

from __future__ import annotations

from importlib import metadata

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource

SERVICE_NAME_DEFAULT = "concert-coordinator"


def resource_of(**attributes: str) -> ResourceMessage:
    """The resource as a message. Attributes are those of Concert, without its prefix."""
    stated = OTELResourceDetector().detect().attributes
    everything: dict[str, object] = {
        SERVICE_NAME: SERVICE_NAME_DEFAULT,
        SERVICE_VERSION: metadata.version("concert"),
        **Resource({}).attributes,
        **stated,
        **{f"concert.{name}": value for name, value in attributes.items()},
    }
    message = ResourceMessage()
    for key, value in everything.items():
        pair: KeyValue = message.attributes.add()
        pair.key = key
        pair.value.string_value = str(value)
    return message
