"""Configuration: every setting and every limit by name, its unit last.

Each may be given as a flag (--drain-grace-seconds 5) or in the environment (CONCERT_DRAIN_GRACE_SECONDS=5); the flag
wins. The names that deployments already use (EVENT_STORE_BACKEND, MAX_CONCURRENT_AGENTS, COORDINATION_TIMEOUT_SECONDS)
are understood too.
"""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    SecretStr,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from coordinator_service import config_texts
from coordinator_service.core.limits import Limits
from coordinator_service.local_namespace import ShellLimits
from coordinator_service.log.redis_durability import durability_from
from coordinator_service.log.redis_options import RedisOptions
from coordinator_service.named_subscriptions import NamedSubscriptionLimits
from coordinator_service.retention import RetentionLimits
from coordinator_service.rpc.limits import contract_limits
from coordinator_service.security.jwt_rules import JwtRules
from coordinator_service.sequencer import SequencerLimits
from coordinator_service.sessions import SessionLimits
from coordinator_service.snapshots import SnapshotLimits
from coordinator_service.web.live.watch import LiveLimits

ENVIRONMENT_PREFIX = "CONCERT_"
PROGRAM = "python -m coordinator_service"
SQLITE_FILE = "events.sqlite"

_CORE = Limits()
_SHELL = ShellLimits()
_SESSION = SessionLimits()
_RETENTION = _SHELL.retention
_LIVE = LiveLimits()


class ConfigError(Exception):
    """The configuration cannot be used; the text says which setting and why, in one line."""


def _covers_requests(retention_ms: int, given: ValidationInfo) -> int:
    """D5: the window of repeated requests is at most the retention, since their first answers are read from the log."""
    window_ms = given.data.get("request_window_ms", 0)
    if retention_ms and retention_ms < window_ms:
        raise ValueError(f"must be 0 or at least request_window_ms, {window_ms}")
    return retention_ms


def _setting(
    default: Any, description: str, *, also: str = "", group: str = "", flag: bool = True, **bounds: Any
) -> Any:
    extra: dict[str, Any] = {"group": group, "also": also, "flag": flag}
    return Field(default, description=description, json_schema_extra=extra, **bounds)


def _limit(default: int, description: str, *, also: str = "", group: str = "limits of a namespace") -> Any:
    return _setting(default, description, also=also, group=group)


Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


class Settings(BaseSettings):
    """What a coordinator is started with."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, extra="ignore", frozen=True)

    listen: Annotated[str, AfterValidator(config_texts.address)] = _setting(
        "127.0.0.1:7420", "HOST:PORT to serve on; port 0 picks one"
    )
    cluster_listen: Annotated[str, AfterValidator(config_texts.address)] = _setting(
        "127.0.0.1:7421", "HOST:PORT at which the other replicas of a cluster reach this one"
    )
    event_store: Literal["memory", "sqlite", "redis"] = _setting(
        "sqlite",
        "where events are kept: memory (gone with the process), sqlite, or redis (several replicas)",
        also="EVENT_STORE_BACKEND",
    )
    data_dir: Path = _setting(Path("concert-data"), "directory of the sqlite store, made if there is none")
    redis_url: Annotated[SecretStr, AfterValidator(config_texts.redis_url)] = _setting(
        SecretStr("redis://127.0.0.1:6379/0"),
        "the redis store: redis://, rediss:// (TLS), redis+sentinel://HOST:PORT,.../SERVICE, redis+cluster://HOST:PORT,..."
        "; best given in the environment, where others do not see its password",
        also="REDIS_URL",
        group="redis",
    )
    redis_prefix: Annotated[str, AfterValidator(config_texts.redis_prefix)] = _setting(
        "concert", "what every key begins with", group="redis"
    )
    redis_durability: Annotated[str, AfterValidator(config_texts.redis_durability)] = _setting(
        "none",
        "what an acknowledgement waits for: none (the server's own persistence), wait:N (N replicas have it), waitaof:N"
        " (it is fsynced there, and on the primary)",
        group="redis",
    )
    redis_wait_ms: PositiveInt = _limit(
        1_000, "how long that may take before an append counts as failed", group="redis"
    )
    redis_timeout_ms: PositiveInt = _limit(5_000, "how long Redis may take to answer at all", group="redis")
    require_durable: bool = _setting(
        False, "refuse to start where an acknowledged event might not survive a loss of power", group="redis"
    )
    cluster_name: Annotated[str, AfterValidator(config_texts.replica_id)] = _setting(
        "concert", "name of the cluster; replicas of two clusters are kept from sharing a redis_prefix", group="redis"
    )
    cluster_advertise: Annotated[str, AfterValidator(config_texts.address)] | None = _setting(
        None, "HOST:PORT at which the others find cluster_listen, where that is not how they reach it", group="redis"
    )
    cluster_secret: Annotated[SecretStr, AfterValidator(config_texts.secret)] = _setting(
        SecretStr(""), "what only the replicas of this cluster know", group="redis", flag=False
    )
    cluster_secret_file: Annotated[Path, AfterValidator(config_texts.secret_file)] | None = _setting(
        None,
        "file of what only the replicas of this cluster know and prove to each other: one secret, or several while one"
        " replaces another; or $CONCERT_CLUSTER_SECRET. Needed where cluster_listen is not on loopback",
        group="redis",
    )
    cluster_tls_ca: Path | None = _setting(
        None,
        "PEM file of authorities: replicas then speak mutual TLS with each other, each with its tls_certificate",
        group="redis",
    )
    cluster_tls_name: str | None = _setting(
        None,
        "name that every replica's certificate is for; none: the host of the address at which the others find it",
        group="redis",
    )
    owner_lease_ms: Annotated[int, Field(ge=300, le=60_000)] = _limit(
        3_000, "how long a replica that is not heard of keeps its namespaces", group="redis"
    )
    replica_id: Annotated[str, AfterValidator(config_texts.replica_id)] = _setting(
        socket.gethostname(), "name of this replica"
    )
    policy_file: Path | None = _setting(
        None, "YAML file of policies, looked at again and again; none: the built-in ones"
    )
    policy_poll_seconds: Annotated[float, Field(ge=0.01, le=3600)] = _setting(
        1.0, "how often the policy file is looked at; a change counts at the second look"
    )
    ready_file: Path | None = _setting(None, "written, as JSON, once the coordinator serves; removed when it stops")
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info", "least severe line that is logged; debug: a line for each decision"
    )
    log_format: Literal["text", "json"] = _setting("text", "lines for people, or JSON for machines")
    web_listen: Annotated[str, AfterValidator(config_texts.address)] | None = _setting(
        None, "HOST:PORT of the live page, /health and /ready; none: not served"
    )
    web_viewers_max: PositiveInt = _limit(_LIVE.viewers_max, "who may view the live page at once", group="live page")
    web_feeds_max: PositiveInt = _limit(
        _LIVE.feeds_max, "different things that they may view at once", group="live page"
    )
    web_read_only: bool = _setting(False, "the live page only shows, and does nothing for anybody", group="live page")
    web_hosts: Annotated[str, AfterValidator(config_texts.hosts)] = _setting(
        "", "names that a page on loopback has for browsers beside localhost, with commas between", group="live page"
    )
    trace_url: Annotated[str, AfterValidator(config_texts.trace_url)] | None = _setting(
        None,
        "where the page finds a trace, for example http://jaeger:16686/trace/{trace_id}; none: no links",
        group="live page",
    )
    metrics_listen: Annotated[str, AfterValidator(config_texts.address)] | None = _setting(
        None, "HOST:PORT of /metrics, for Prometheus; none: not served"
    )
    tracing: Literal["here", "elsewhere", "off"] = _setting(
        "here",
        "who exports decision spans, where OTEL_EXPORTER_OTLP_ENDPOINT is set: this process, or elsewhere, a process of"
        " its own (telemetry)",
    )
    tls_certificate: Path | None = _setting(
        None, "PEM file of the certificate, with its chain, to serve under; none: plain text", group="security"
    )
    tls_private_key: Path | None = _setting(None, "PEM file of its key", group="security")
    tls_client_ca: Path | None = _setting(
        None,
        "PEM file of authorities; clients then have to show a certificate of one of them (mutual TLS)",
        group="security",
    )
    allow_plaintext: bool = _setting(
        False, "serve in plain text on other addresses than the loopback's too", group="security"
    )
    access_file: Path | None = _setting(
        None, "YAML file of who may do what; callers are authenticated then", group="security"
    )
    token_hashes_file: Path | None = _setting(
        None, "YAML file of static bearer tokens, by their hashes", group="security"
    )
    jwt_keys: Annotated[str, AfterValidator(config_texts.key_source)] | None = _setting(
        None, "file or https address of the JWK Set that JWTs are verified with", group="security"
    )
    jwt_issuer: str | None = _setting(None, "the iss that JWTs must have", group="security")
    jwt_audience: str | None = _setting(None, "the aud that JWTs must have", group="security")
    jwt_algorithms: Annotated[str, AfterValidator(config_texts.algorithms)] = _setting(
        "RS256,ES256", "the algorithms that JWTs may be signed by", group="security"
    )
    jwt_principal_claim: str = _setting("sub", "the claim that names the principal", group="security")
    jwt_principal_prefix: str = _setting(
        "jwt:", "what goes before it, so that an issuer cannot name the principals of others", group="security"
    )
    jwt_leeway_seconds: Annotated[float, Field(ge=0, le=600)] = _setting(
        30.0, "how far the clocks of issuer and coordinator may be apart", group="security"
    )
    jwt_refresh_seconds: Annotated[float, Field(ge=10, le=86_400)] = _setting(
        300.0, "how often the JWK Set of an address is fetched", group="security"
    )
    security_poll_seconds: Annotated[float, Field(ge=0.01, le=3600)] = _setting(
        1.0,
        "how often certificates, tokens and access are looked at; a change counts at the second look",
        group="security",
    )
    metadata_bytes_max: Annotated[int, Field(ge=1024, le=1024 * 1024)] = _limit(
        16 * 1024, "metadata of a call", group="security"
    )
    handshake_ms_max: Annotated[int, Field(ge=100, le=120_000)] = _limit(
        10_000, "how long a new connection may take until it speaks TLS and HTTP/2", group="security"
    )
    connections_max: PositiveInt = _limit(
        20_000, "connections at a time, whoever they are of; more are closed before they say a word", group="security"
    )
    connection_calls_max: PositiveInt = _limit(10_000, "open calls of one connection; more wait", group="security")
    calls_max: PositiveInt = _limit(100_000, "open calls of all together; more are refused", group="security")
    event_loop: Literal["auto", "uvloop", "asyncio"] = _setting("auto", "auto takes uvloop where it is installed")

    drain_notice_seconds: Seconds = _setting(
        0.5, "after SIGTERM, how long new calls are told to go elsewhere before connections close", group="stopping"
    )
    drain_grace_seconds: Seconds = _setting(
        _SESSION.drain_grace_ms / 1000, "how long sessions and calls may take to end then", group="stopping"
    )

    bookmark_seconds_max: Annotated[float, Field(gt=0, le=3600)] = _setting(
        15.0, "a quiet subscription gets a bookmark at least this often", group="streams and sessions"
    )
    outbox_bytes_max: PositiveInt = _limit(
        _SESSION.outbox_bytes_max, "unread by an agent before its stream is cut", group="streams and sessions"
    )
    commands_in_flight_max: PositiveInt = _limit(
        _SESSION.commands_in_flight_max, "commands of a session without a reply", group="streams and sessions"
    )
    session_lease_ms_default: Annotated[int, Field(ge=_SESSION.lease_ms_min, le=_SESSION.lease_ms_max)] = _limit(
        _SESSION.lease_ms_default, "lease of a session that asks for none", group="streams and sessions"
    )

    namespaces_max: PositiveInt = _limit(_SHELL.namespaces_max, "namespaces of this replica", group="memory and log")
    standby_namespaces_max: NonNegativeInt = _limit(
        100,
        "namespaces that this replica is next to own and keeps folded, so that it takes them over at once",
        group="redis",
    )
    tail_bytes_max: PositiveInt = _limit(
        _SHELL.tail_bytes_max, "newest events kept in memory, for each namespace", group="memory and log"
    )
    inbox_commands_max: PositiveInt = _limit(
        _SHELL.sequencer.inbox_commands_max, "commands waiting to be decided", group="memory and log"
    )
    turn_commands_max: PositiveInt = _limit(
        _SHELL.sequencer.turn_commands_max, "commands decided in one turn", group="memory and log"
    )
    batch_bytes_max: PositiveInt = _limit(
        _SHELL.sequencer.batch_bytes_max, "events waiting for the append under way", group="memory and log"
    )
    snapshot_events: PositiveInt = _limit(
        _SHELL.snapshots.snapshot_events, "events between two snapshots", group="memory and log"
    )
    subscriptions_max: PositiveInt = _limit(
        _SHELL.named_subscriptions.subscriptions_max, "named subscriptions", group="memory and log"
    )
    list_scan_events_max: PositiveInt = _limit(
        20_000, "events looked at for one page of history", group="memory and log"
    )

    agents_running_max: PositiveInt = _limit(
        _CORE.agents_running_max, "attempts that may run at once", also="MAX_CONCURRENT_AGENTS"
    )
    run_timeout_seconds: Annotated[float, Field(gt=0, le=30 * 86_400)] = _setting(
        _CORE.run_timeout_ms / 1000,
        "how long a run may take unless it says otherwise",
        also="COORDINATION_TIMEOUT_SECONDS",
        group="limits of a namespace",
    )
    run_tasks_max: PositiveInt = _limit(_CORE.run_tasks_max, "tasks of a run")
    runs_live_max: PositiveInt = _limit(_CORE.runs_live_max, "runs kept in memory")
    tasks_live_max: PositiveInt = _limit(_CORE.tasks_live_max, "tasks kept in memory")
    agents_max: PositiveInt = _limit(_CORE.agents_max, "agents kept in memory")
    lock_waiters_max: PositiveInt = _limit(_CORE.lock_waiters_max, "lock requests that wait")
    locks_max: PositiveInt = _limit(_CORE.locks_max, "locks held")
    state_keys_max: PositiveInt = _limit(_CORE.state_keys_max, "keys of shared state")
    state_retention_ms: PositiveInt = _limit(
        _CORE.state_retention_ms, "how long changes of a key that is gone are remembered"
    )
    state_history_values_max: PositiveInt = _limit(
        _CORE.state_history_values_max, "earlier values of keys kept in memory"
    )
    state_history_ms: PositiveInt = _limit(_CORE.state_history_ms, "how long an earlier value is kept in memory")
    ageing_step_ms: PositiveInt = _limit(_CORE.ageing_step_ms, "waiting that is worth one step of priority")
    reserve_after_ms: PositiveInt = _limit(
        _CORE.reserve_after_ms, "how long a ready task waits for busy agents before it holds up others at its locks"
    )
    request_window_ms: PositiveInt = _limit(_CORE.request_window_ms, "how long a repeated request is recognised")
    requests_max: PositiveInt = _limit(_CORE.requests_max, "requests remembered at once for that")
    run_retention_ms: PositiveInt = _limit(_CORE.run_retention_ms, "how long a finished run is kept in memory")
    agent_retention_ms: PositiveInt = _limit(_CORE.agent_retention_ms, "how long a gone agent is kept in memory")
    evicted_retention_ms: PositiveInt = _limit(
        _CORE.evicted_retention_ms, "how long a run that is gone from memory is still known"
    )
    evicted_runs_max: PositiveInt = _limit(_CORE.evicted_runs_max, "such runs that are known at once")
    roles_max: PositiveInt = _limit(_CORE.roles_max, "names of agents known that are all gone")
    reattach_grace_ms: PositiveInt = _limit(
        _CORE.reattach_grace_ms, "how long sessions and waiting calls have to come back to a new owner"
    )
    reattach_hold_ms: PositiveInt = _limit(
        _CORE.reattach_hold_ms, "how long those that have not come back still keep others waiting"
    )

    log_retention_ms: Annotated[NonNegativeInt, AfterValidator(_covers_requests)] = _limit(
        _RETENTION.log_retention_ms, "events older than this are dropped; 0 keeps all", group="memory and log"
    )
    log_events_max: NonNegativeInt = _limit(
        _RETENTION.log_events_max, "older events than so many newest are dropped; 0 keeps all", group="memory and log"
    )
    log_bytes_max: NonNegativeInt = _limit(
        _RETENTION.log_bytes_max, "the oldest events beyond this are dropped; 0 keeps all", group="memory and log"
    )
    subscription_hold_events_max: NonNegativeInt = _limit(
        _RETENTION.subscription_hold_events_max,
        "events that named subscriptions may hold beyond that",
        group="memory and log",
    )
    trim_interval_ms: PositiveInt = _limit(
        _RETENTION.trim_interval_ms, "how often is looked for events to drop", group="memory and log"
    )

    @model_validator(mode="after")
    def _keeps_what_it_requires(self) -> Settings:
        if self.require_durable and self.event_store == "memory":
            raise ValueError("require_durable is set, and the memory store keeps nothing")
        return self

    @model_validator(mode="after")
    def _keeps_strangers_out(self) -> Settings:
        if (
            self.event_store == "redis"
            and not config_texts.is_loopback(self.cluster_listen)
            and not self.cluster_secrets()
        ):
            raise ValueError(
                f"cluster_listen is {self.cluster_listen}, which others reach: set cluster_secret_file, or"
                " CONCERT_CLUSTER_SECRET"
            )
        return self

    @model_validator(mode="after")
    def _is_safe(self) -> Settings:
        if (self.tls_certificate is None) != (self.tls_private_key is None):
            raise ValueError("tls_certificate and tls_private_key go together")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("tls_client_ca needs tls_certificate and tls_private_key")
        if self.cluster_tls_ca is not None and self.tls_certificate is None:
            raise ValueError("cluster_tls_ca needs tls_certificate and tls_private_key")
        if self.cluster_tls_name is not None and self.cluster_tls_ca is None:
            raise ValueError("cluster_tls_name needs cluster_tls_ca")
        if self.jwt_keys is not None and not (self.jwt_issuer and self.jwt_audience):
            raise ValueError("jwt_keys needs jwt_issuer and jwt_audience")
        known = self.tls_client_ca or self.token_hashes_file or self.jwt_keys
        if known and self.access_file is None:
            raise ValueError("access_file is missing: it says what callers that are known may do")
        if self.access_file is not None and not known:
            raise ValueError("access_file needs tls_client_ca, token_hashes_file or jwt_keys: else nobody is known")
        if self.access_file is not None and self.event_store == "redis" and not self.cluster_secrets():
            raise ValueError("cluster_secret_file is missing: without it whoever gets there could speak for anybody")
        if self.tls_certificate is None and not self.allow_plaintext and not config_texts.is_loopback(self.listen):
            raise ValueError(
                f"listen: {self.listen} would be in plain text: give tls_certificate and tls_private_key, or set"
                " allow_plaintext if that is meant"
            )
        return self

    @property
    def page_is_exposed(self) -> bool:
        """Whether other machines reach the page in plain text without that being asked for."""
        listen = self.web_listen
        return listen is not None and not self.allow_plaintext and not config_texts.is_loopback(listen)

    @property
    def page_hosts(self) -> tuple[str, ...] | None:
        """By which names browsers may ask for the page, beside this machine's own; None where by any: where its callers
        are authenticated, or other machines reach it by names that are not known here."""
        alone = self.web_listen is not None and self.access_file is None and config_texts.is_loopback(self.web_listen)
        return tuple(filter(None, self.web_hosts.split(","))) if alone else None

    @property
    def page_acts(self) -> bool:
        """Whether the page does what it is asked: where it knows who asks, or only this machine can."""
        return not self.web_read_only and (self.access_file is not None or self.page_hosts is not None)

    def jwt_rules(self) -> JwtRules | None:
        """What JWTs have to be; None where there are none."""
        if self.jwt_keys is None:
            return None
        return JwtRules(
            issuer=self.jwt_issuer or "",
            audience=self.jwt_audience or "",
            algorithms=tuple(self.jwt_algorithms.split(",")),
            principal_claim=self.jwt_principal_claim,
            prefix=self.jwt_principal_prefix,
            leeway_seconds=self.jwt_leeway_seconds,
        )

    @property
    def sqlite_path(self) -> Path:
        """The file of the sqlite store."""
        return self.data_dir / SQLITE_FILE

    def cluster_secrets(self) -> list[str]:
        """What the replicas of this cluster know."""
        alone = self.cluster_secret.get_secret_value()
        filed = "" if self.cluster_secret_file is None else config_texts.text_of(self.cluster_secret_file)
        return [*alone.split(), *filed.split()]

    def redis_options(self) -> RedisOptions:
        """The redis store."""
        return RedisOptions(
            url=self.redis_url.get_secret_value(),
            prefix=self.redis_prefix,
            cluster_name=self.cluster_name,
            durability=durability_from(self.redis_durability, self.redis_wait_ms),
            require_durable=self.require_durable,
            timeout_ms=self.redis_timeout_ms,
        )

    def core_limits(self) -> Limits:
        """What decisions depend on."""
        named = {each.name: getattr(self, each.name) for each in fields(Limits) if each.name != "run_timeout_ms"}
        return Limits(**named, run_timeout_ms=round(self.run_timeout_seconds * 1000))

    def shell_limits(self) -> ShellLimits:
        """Bounds of queues and memory."""
        return ShellLimits(
            namespaces_max=self.namespaces_max,
            tail_bytes_max=self.tail_bytes_max,
            sequencer=SequencerLimits(
                inbox_commands_max=self.inbox_commands_max,
                turn_commands_max=self.turn_commands_max,
                batch_bytes_max=self.batch_bytes_max,
            ),
            snapshots=SnapshotLimits(snapshot_events=self.snapshot_events),
            named_subscriptions=NamedSubscriptionLimits(subscriptions_max=self.subscriptions_max),
            retention=RetentionLimits(
                **{each.name: getattr(self, each.name) for each in fields(RetentionLimits)},
            ),
        )

    def live_limits(self) -> LiveLimits:
        """Bounds of the live page."""
        return LiveLimits(viewers_max=self.web_viewers_max, feeds_max=self.web_feeds_max)

    def session_limits(self) -> SessionLimits:
        """Bounds of sessions."""
        return SessionLimits(
            outbox_bytes_max=self.outbox_bytes_max,
            commands_in_flight_max=self.commands_in_flight_max,
            lease_ms_default=self.session_lease_ms_default,
            drain_grace_ms=round(self.drain_grace_seconds * 1000),
        )

    def reported_limits(self) -> dict[str, int]:
        """Every limit by name, for GetServerInfo and Welcome. One that is 0, which is none, is left out."""
        own = {name: value for name, value in self.model_dump().items() if type(value) is int and value}
        return {**own, **self.core_limits().as_mapping(), **contract_limits()}


def load(arguments: Sequence[str]) -> Settings:
    """The settings from flags and environment. Raises ConfigError; --help prints and exits."""
    given = {name: value for name, value in vars(_parser().parse_args(arguments)).items() if value is not None}
    sources = {name: _flag(name) for name in given}
    for name, field in Settings.model_fields.items():
        also = _extra(field)["also"]
        if also in os.environ and name not in given and _variable(name) not in os.environ:
            given[name] = os.environ[also]
            sources[name] = also
    try:
        return Settings(**given)
    except ValidationError as error:
        raise ConfigError("; ".join(_fault(each, sources) for each in error.errors())) from None


def _fault(error: Any, sources: dict[str, str]) -> str:
    said = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:
        return str(said)
    name = str(error["loc"][0])
    secret = Settings.model_fields[name].annotation is SecretStr
    return f"{sources.get(name, _variable(name))}: {said}" + ("" if secret else f", not {error['input']!r}")


def _variable(name: str) -> str:
    return f"{ENVIRONMENT_PREFIX}{name.upper()}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _extra(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    return extra


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise ConfigError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        usage="%(prog)s [--listen HOST:PORT] [--data-dir DIRECTORY] [...]",
        description="Serves the Concert coordinator.",
        epilog="Each setting may also be given in the environment, as CONCERT_ and its name in capitals: "
        "--data-dir as CONCERT_DATA_DIR. A flag wins over the environment.",
        allow_abbrev=False,
    )
    groups: dict[str, Any] = {"": parser}
    for name, field in Settings.model_fields.items():
        extra = _extra(field)
        if not extra["flag"]:
            continue  # others would see it among the processes
        group = groups.get(extra["group"])
        if group is None:
            group = groups[extra["group"]] = parser.add_argument_group(extra["group"])
        also = f", or ${extra['also']}" if extra["also"] else ""
        shown = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        default = "" if shown is None else f" ({shown}{also})"
        group.add_argument(_flag(name), dest=name, metavar=_metavar(name), help=f"{field.description}{default}")
    return parser


def _metavar(name: str) -> str:
    for ending in ("seconds", "ms", "bytes"):
        if ending in name.split("_"):
            return ending.upper()
    special = {
        "listen": "HOST:PORT",
        "cluster_advertise": "HOST:PORT",
        "data_dir": "DIRECTORY",
        "ready_file": "FILE",
        "policy_file": "FILE",
        "log_level": "LEVEL",
        "tracing": "WHERE",
        "web_listen": "HOST:PORT",
        "trace_url": "URL",
        "cluster_listen": "HOST:PORT",
        "cluster_secret_file": "FILE",
        "cluster_tls_ca": "FILE",
        "cluster_tls_name": "NAME",
        "metrics_listen": "HOST:PORT",
        "log_format": "FORMAT",
    }
    special |= {"redis_url": "URL", "redis_prefix": "PREFIX", "redis_durability": "CONDITION", "cluster_name": "NAME"}
    special |= {"tls_certificate": "FILE", "tls_private_key": "FILE", "tls_client_ca": "FILE", "access_file": "FILE"}
    special |= {"token_hashes_file": "FILE", "jwt_keys": "FILE|URL", "jwt_issuer": "ISSUER", "jwt_audience": "AUDIENCE"}
    special |= {"jwt_algorithms": "NAME,...", "jwt_principal_claim": "CLAIM", "jwt_principal_prefix": "PREFIX"}
    special |= {"allow_plaintext": "BOOLEAN", "web_read_only": "BOOLEAN", "web_hosts": "NAME,..."}
    special |= {"require_durable": "BOOLEAN", "event_store": "STORE", "replica_id": "NAME", "event_loop": "LOOP"}
    return special.get(name, "COUNT")
