"""The server: composes store, namespaces and servicers, serves them, and ends gracefully.

The end has an order, so that nobody is left guessing: health says NOT_SERVING, new calls are UNAVAILABLE, sessions are
told to reconnect elsewhere, connections are told to go away, what still runs gets a grace, and the store is closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from importlib import metadata
from types import TracebackType
from typing import TYPE_CHECKING

import grpc
from concert.v1 import (  # noqa: F401 (reflection finds their descriptors)
    agent_service_pb2,
    error_pb2,
    event_service_pb2,
    lock_service_pb2,
    monitor_service_pb2,
    run_service_pb2,
    session_service_pb2,
    state_service_pb2,
)
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from coordinator_service.clock import Clock, SystemClock
from coordinator_service.cluster.handshake import ClusterSecret
from coordinator_service.cluster.member import Join, Member
from coordinator_service.config import Settings
from coordinator_service.core.rejections import Rejection, Unavailable
from coordinator_service.guarding import Guarding
from coordinator_service.local_namespace import LocalNamespace
from coordinator_service.log.base import LogStore
from coordinator_service.log.memory import MemoryStore
from coordinator_service.log.sqlite import SqliteStore
from coordinator_service.namespaces import Namespaces
from coordinator_service.ownership import Ownership
from coordinator_service.policy_watch import PolicyWatch
from coordinator_service.rpc import limits
from coordinator_service.rpc.agent_servicer import AgentServicer
from coordinator_service.rpc.calls import PACKAGE, Calls
from coordinator_service.rpc.event_servicer import EventServicer
from coordinator_service.rpc.guarded_reflection import serve_reflection
from coordinator_service.rpc.identity import NAMESPACE_DEFAULT
from coordinator_service.rpc.lock_servicer import LockServicer
from coordinator_service.rpc.monitor_servicer import MonitorServicer, PolicyFileStatus, ServerDescription
from coordinator_service.rpc.run_servicer import RunServicer
from coordinator_service.rpc.session_servicer import SessionServicer
from coordinator_service.rpc.state_servicer import StateServicer
from coordinator_service.sessions import SessionHubs
from coordinator_service.standby import Standby
from coordinator_service.telemetry.collector import collector_from
from coordinator_service.telemetry.log_export import Pace
from coordinator_service.telemetry.log_lines import DecisionLines
from coordinator_service.telemetry.sampling import Sampling
from coordinator_service.telemetry.tracing import Tracing
from coordinator_service.web.readings import Sources

if TYPE_CHECKING:
    from coordinator_service.cluster.ownership import ClusterOwnership
    from coordinator_service.http_serving import HttpServing
    from coordinator_service.over_redis import OverRedis
    from coordinator_service.web.live.live_page import LivePage

_log = logging.getLogger(__name__)

SERVICES = tuple(
    f"{PACKAGE}.{name}"
    for name in (
        "SessionService",
        "EventService",
        "AgentService",
        "RunService",
        "LockService",
        "StateService",
        "MonitorService",
    )
)
OVERSIZE_BYTES_MAX = 2 * limits.MESSAGE_BYTES_MAX
"""A message over the contract's limit is refused with details up to this size, beyond it by the transport."""
PING_INTERVAL_MS_MIN = 5_000
"""Clients may ping this often, calls or none."""
PEER_PING_MS = 30_000
PEER_PING_TIMEOUT_MS = 10_000
CLOSE_SECONDS = 1.0
"""What is left after the grace is cut off after this."""

_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", OVERSIZE_BYTES_MAX),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", PEER_PING_MS),
    ("grpc.keepalive_timeout_ms", PEER_PING_TIMEOUT_MS),
    ("grpc.http2.min_ping_interval_without_data_ms", PING_INTERVAL_MS_MIN),
    ("grpc.http2.max_pings_without_data", 0),
)


class CannotListen(Exception):  # noqa: N818 (it says what happened)
    """The address cannot be served on."""


class CoordinatorServer:
    """A coordinator that serves on one address. `start` before anything else, `stop` at the end."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: LogStore | None = None,
        clock: Clock | None = None,
        join: Join | None = None,
    ) -> None:
        self.address = ""
        """HOST:PORT, once it serves."""
        self.web_address = ""
        """The same of the page, where it is served."""
        self.metrics_address = ""
        """The same of the metrics, where they are served."""
        self.live: LivePage | None = None
        """The live page, where it is served."""
        self.settings = settings
        self._store = store
        self._clock = clock or SystemClock()
        self._join = join
        self._member: Member | None = None
        self._tracing: Tracing | None = None
        self._http: HttpServing | None = None
        self._redis: OverRedis | None = None
        self._lines = DecisionLines()
        self._serving = False
        self._cluster: ClusterOwnership | None = None
        self._standby: Standby | None = None
        self._policies: PolicyWatch | None = None
        if settings.policy_file is not None:
            self._policies = PolicyWatch(settings.policy_file, self._clock, settings.policy_poll_seconds)
        self._guarding = Guarding(settings, self._clock)

    async def start(self) -> None:
        """Serves. Raises CannotListen, FileUnusable, CollectorFault, LogError (StoreInUse where another has the
        store)."""
        settings = self.settings
        self._tracing = _tracing(settings)
        if self._policies is not None:
            self._policies.load()
        credentials = self._guarding.load()
        guard = self._guarding.guard
        if self._store is None:
            self._store = self._open_store()
        if self._redis is not None:
            await self._redis.check()
        ownership = await self._join_cluster()
        if self._cluster is not None and settings.standby_namespaces_max:
            self._standby = Standby(self._store, self._cluster, namespaces_max=settings.standby_namespaces_max)
        self._namespaces = Namespaces(
            self._store,
            self._clock,
            replica_id=settings.replica_id,
            limits=settings.core_limits(),
            shell=settings.shell_limits(),
            ownership=ownership,
            elsewhere=None if self._member is None else self._member.port_of,
            standby=self._standby,
            on_owned=self._on_owned,
        )
        if self._member is not None:
            self._member.serve()
        spans = None if self._tracing is None else self._tracing.calls
        attempt_context = None if self._tracing is None else self._tracing.attempt_context
        self._calls = Calls(self._namespaces, spans, guard)
        self._hubs = SessionHubs(settings.session_limits(), settings.reported_limits(), attempt_context)
        self._sessions = SessionServicer(self._namespaces, self._hubs, spans, guard)
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(
            options=(*_OPTIONS, *_bounds(settings)), maximum_concurrent_rpcs=settings.calls_max
        )
        handlers = tuple(self._handlers())
        self._server.add_generic_rpc_handlers(handlers)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        serve_reflection((*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server, guard)
        self.address = self._bind(credentials)
        await self._start_http(handlers)
        if self._member is None:
            await self._open(NAMESPACE_DEFAULT)
        await self._server.start()
        for service in ("", *SERVICES):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        self._serving = True
        self._owning = asyncio.create_task(self._own_all() if self._cluster is None else self._keep_owning())
        if self._policies is not None:
            self._policies.begin(self._namespaces.owned)
        self._guarding.begin()

    async def _join_cluster(self) -> Ownership | None:
        """Says that this replica is there, if there may be others."""
        join = self._join
        if join is None and self._redis is not None:
            join, self._cluster = self._redis.join, self._redis.cluster
        if join is None:
            return None
        assert self._store is not None
        listen, tail_bytes_max = self.settings.cluster_listen, self.settings.tail_bytes_max
        try:
            self._member = Member(
                listen,
                lambda name: self._namespaces.own(name),
                self._store,
                self._clock,
                tail_bytes_max=tail_bytes_max,
                secret=ClusterSecret(self.settings.cluster_secrets()),
                credentials=self._guarding.links,
            )
        except OSError as fault:
            raise CannotListen(str(fault)) from None
        return await self._member.join(join)

    @property
    def tracing(self) -> Tracing | None:
        """The export of spans; None where it is off."""
        return self._tracing

    def reload(self) -> None:
        """Reads the policy file, certificates, tokens and access again at once, where there are any."""
        self._guarding.reload()
        if self._policies is not None:
            self._policies.reload()

    async def stop(self, *, notice_seconds: float = 0.0, grace_seconds: float = 0.0) -> None:
        """Ends, in the order that the module says."""
        self._serving = False
        await self._health.enter_graceful_shutdown()
        self._calls.stop()
        self._sessions.drain()
        if self._cluster is not None:
            await self._cluster.drain()
        if notice_seconds:
            await asyncio.sleep(notice_seconds)
        going = asyncio.create_task(self._server.stop(grace_seconds + CLOSE_SECONDS))
        await asyncio.wait({going}, timeout=grace_seconds)
        self._hubs.close(Unavailable("the coordinator is shutting down"))
        await going
        await self._close_store()

    async def stop_at_once(self) -> None:
        """Ends without waiting for anybody."""
        self._serving = False
        await self._server.stop(None)
        self._hubs.close(Unavailable("the coordinator is shutting down"))
        await self._close_store()

    async def __aenter__(self) -> CoordinatorServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _handlers(self) -> Iterable[grpc.GenericRpcHandler]:
        settings, calls = self.settings, self._calls
        yield self._sessions.handler()
        self._events = EventServicer(
            calls, scan_events_max=settings.list_scan_events_max, bookmark_seconds=settings.bookmark_seconds_max
        )
        yield self._events.handler()
        yield AgentServicer(calls).handler()
        yield RunServicer(calls).handler()
        yield LockServicer(calls).handler()
        yield StateServicer(
            calls, scan_events_max=settings.list_scan_events_max, bookmark_seconds=settings.bookmark_seconds_max
        ).handler()
        yield MonitorServicer(calls, self._description(), self._policy_file, self._guarding.faults).handler()

    def _description(self) -> ServerDescription:
        return ServerDescription(
            version=metadata.version("concert"),
            replica_id=self.settings.replica_id,
            event_store=self.settings.event_store,
            started_at_ns=self._clock.wall_ns(),
            limits=self.settings.reported_limits(),
        )

    def _on_owned(self, namespace: LocalNamespace) -> None:
        if self._policies is not None:
            self._policies.tell(namespace)
        if self._tracing is not None:
            self._tracing.begin(namespace)
        self._lines.begin(namespace)

    def _policy_file(self) -> PolicyFileStatus | None:
        return None if self._policies is None else self._policies.status()

    async def _start_http(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        settings = self.settings
        if settings.web_listen is None and settings.metrics_listen is None:
            return
        from coordinator_service.http_serving import HttpServing
        from coordinator_service.web.http_server import CannotListenHttp

        self._http = HttpServing(settings, self._sources(), self._clock, self._guarding.guard, handlers)
        try:
            await self._http.start()
        except CannotListenHttp as fault:
            raise CannotListen(str(fault)) from None
        self.web_address, self.metrics_address = self._http.web_address, self._http.metrics_address
        self.live = self._http.live

    def _sources(self) -> Sources:
        return Sources(
            version=metadata.version("concert"),
            replica_id=self.settings.replica_id,
            namespaces=self._namespaces,
            namespace_default=NAMESPACE_DEFAULT,
            serving=lambda: self._serving,
            policy_file=self._policy_file,
            subscriptions=lambda: self._events.subscriptions,
            spans=None if self._tracing is None else self._tracing.counts,
            span_lags=dict if self._tracing is None else self._tracing.lags,
            refusals=None if self._guarding.guard is None else self._guarding.guard.gate.refusals.by_reason,
            timings=None if self._store is None else self._store.timings,
        )

    def _bind(self, credentials: grpc.ServerCredentials | None) -> str:
        listen = self.settings.listen
        try:
            if credentials is None:
                port = self._server.add_insecure_port(listen)
            else:
                port = self._server.add_secure_port(listen, credentials)
        except RuntimeError:
            port = 0
        if not port:
            raise CannotListen(f"cannot listen on {listen}: is it taken, or not an address of this machine?")
        return f"{listen.rpartition(':')[0]}:{port}"

    async def _own_all(self) -> None:
        """Owns every namespace there is, so that leases and deadlines go on whether or not somebody calls."""
        try:
            await self._namespaces.own_all()
        except Unavailable as fault:
            _log.error("the namespaces are not known: %s", fault.message)

    async def _keep_owning(self) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(self._namespaces.keep_owning())
            if self._standby is not None:
                both.create_task(self._standby.keep())

    def _open_store(self) -> LogStore:
        settings = self.settings
        if settings.event_store == "memory":
            return MemoryStore()
        if settings.event_store == "sqlite":
            return SqliteStore(settings.sqlite_path)
        from coordinator_service.over_redis import OverRedis

        self._redis = OverRedis(settings, self._clock)
        return self._redis.store

    async def _open(self, name: str) -> None:
        try:
            await self._namespaces.own(name)
        except Rejection as fault:
            _log.error("namespace %s is not served: %s", name, fault.message)

    async def _close_store(self) -> None:
        assert self._store is not None
        if self._policies is not None:
            await self._policies.close()
        await self._guarding.close()
        self._owning.cancel()
        await asyncio.gather(self._owning, return_exceptions=True)
        if self._tracing is not None:
            await self._tracing.close()
        await self._lines.close()
        if self._member is not None:
            await self._member.leave(Unavailable("the coordinator is shutting down"))
        await self._namespaces.close()
        if self._member is not None:
            await self._member.stop()
        if self._cluster is not None:
            await self._cluster.close()
        await self._store.close()
        if self._http is not None:
            await self._http.stop()


def _bounds(settings: Settings) -> Iterable[tuple[str, int]]:
    """What holds before anybody is known."""
    yield "grpc.max_metadata_size", settings.metadata_bytes_max
    yield "grpc.absolute_max_metadata_size", settings.metadata_bytes_max
    yield "grpc.max_concurrent_streams", settings.connection_calls_max
    yield "grpc.max_allowed_incoming_connections", settings.connections_max
    yield "grpc.server_handshake_timeout_ms", settings.handshake_ms_max


def _tracing(settings: Settings) -> Tracing | None:
    """What the OTEL_* variables ask for; nothing where they name no collector."""
    collector = None if settings.tracing == "off" else collector_from()
    if collector is None:
        return None
    here = settings.tracing == "here"
    return Tracing(collector, Sampling.from_environment(), settings.replica_id, exports=here, pace=Pace())
