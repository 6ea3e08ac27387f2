"""Configuration: environment and flags, readable help, one clear line for what cannot be used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from coordinator_service.config import ConfigError, Settings, load
from coordinator_service.rpc.limits import contract_limits


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting is CONCERT_<NAME> in the environment and --<name> as a flag."""
    monkeypatch.setenv("CONCERT_LISTEN", "127.0.0.1:7001")
    monkeypatch.setenv("CONCERT_AGENTS_MAX", "12")
    assert (load([]).listen, load([]).agents_max) == ("127.0.0.1:7001", 12)
    assert load(["--listen", "127.0.0.1:7002"]).listen == "127.0.0.1:7002"


def test_the_names_that_deployments_use_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """EVENT_STORE_BACKEND, MAX_CONCURRENT_AGENTS and COORDINATION_TIMEOUT_SECONDS; Concert's own names come first."""
    monkeypatch.setenv("EVENT_STORE_BACKEND", "memory")
    monkeypatch.setenv("MAX_CONCURRENT_AGENTS", "10")
    monkeypatch.setenv("COORDINATION_TIMEOUT_SECONDS", "1.5")
    found = load([])
    assert found.event_store == "memory"
    assert (found.core_limits().agents_running_max, found.core_limits().run_timeout_ms) == (10, 1500)
    monkeypatch.setenv("CONCERT_EVENT_STORE", "sqlite")
    assert load([]).event_store == "sqlite"
    assert load(["--event-store", "memory"]).event_store == "memory"


@pytest.mark.parametrize(
    ("arguments", "environment", "line"),
    [
        (["--listen", "nowhere"], {}, "--listen: must be HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], {}, "--listen: must be HOST:PORT"),
        (["--agents-max", "0"], {}, "--agents-max: Input should be greater than 0, not '0'"),
        (["--event-store", "paper"], {}, "--event-store: Input should be 'memory', 'sqlite' or 'redis', not 'paper'"),
        ([], {"REDIS_URL": "http://:secret@localhost"}, "REDIS_URL: must begin with redis://"),
        (["--redis-durability", "always"], {}, "--redis-durability: must be none, wait:N"),
        (["--redis-prefix", "{a}"], {}, "--redis-prefix: must be printable ASCII without braces"),
        (["--event-store", "memory", "--require-durable", "1"], {}, "require_durable is set, and the memory store"),
        (["--event-store", "redis", "--cluster-listen", "0.0.0.0:7421"], {}, "cluster_listen is 0.0.0.0:7421, which"),
        (["--cluster-secret-file", "/nowhere"], {}, "--cluster-secret-file: cannot be read: No such file"),
        (["--cluster-secret", "0123456789abcdef"], {}, "unrecognized arguments: --cluster-secret"),
        (["--replica-id", "a\nb"], {}, "--replica-id: has control characters"),
        (["--drain-grace-seconds", "nan"], {}, "--drain-grace-seconds: "),
        (["--agents"], {}, "unrecognized arguments: --agents"),
        ([], {"MAX_CONCURRENT_AGENTS": "many"}, "MAX_CONCURRENT_AGENTS: Input should be a valid integer"),
        ([], {"CONCERT_TAIL_BYTES_MAX": "-1"}, "CONCERT_TAIL_BYTES_MAX: Input should be greater than 0"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], environment: dict[str, str], line: str
) -> None:
    """Which flag or variable, what is wrong with it, what it was."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load(arguments)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_a_secret_of_the_cluster_comes_from_a_file_or_the_environment_and_is_never_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two of them while one replaces the other; one that is too short is refused without being repeated."""
    public = ["--event-store", "redis", "--cluster-listen", "10.0.0.1:7421"]
    file = tmp_path / "secret"
    file.write_text("an-old-secret-of-replicas\na-new-secret-of-replicas\n")
    found = load([*public, "--cluster-secret-file", str(file)])
    assert found.cluster_secrets() == ["an-old-secret-of-replicas", "a-new-secret-of-replicas"]
    monkeypatch.setenv("CONCERT_CLUSTER_SECRET", "a-secret-of-the-environment")
    assert load(public).cluster_secrets() == ["a-secret-of-the-environment"]
    assert "a-secret" not in repr(load(public))
    monkeypatch.setenv("CONCERT_CLUSTER_SECRET", "too-short")
    with pytest.raises(ConfigError) as caught:
        load(public)
    assert str(caught.value).startswith("CONCERT_CLUSTER_SECRET: must hold a secret of at least 16 characters")
    assert "too-short" not in str(caught.value)


@pytest.mark.parametrize("listen", ["127.0.0.1:7421", "[::1]:7421", "localhost:0"])
def test_replicas_on_loopback_need_no_secret(listen: str) -> None:
    """Nobody else reaches them."""
    assert load(["--event-store", "redis", "--cluster-listen", listen]).cluster_secrets() == []


def test_bad_configuration_ends_with_code_2() -> None:
    """The command says the line, no traceback."""
    command = [sys.executable, "-m", "coordinator_service", "--listen", "nowhere"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("python -m coordinator_service: --listen: must be HOST:PORT")
    assert len(ended.stderr.splitlines()) == 1


def test_help_names_every_setting_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    """A person can read it."""
    with pytest.raises(SystemExit) as ended:
        load(["--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for name, field in Settings.model_fields.items():
        alone = name == "cluster_secret"  # a flag would show it to whoever lists processes
        assert (f"$CONCERT_{name.upper()}" if alone else f"--{name.replace('_', '-')} ") in text
        assert " ".join(str(field.description).split()) in text
    assert "$MAX_CONCURRENT_AGENTS" in text


def test_every_limit_has_its_unit_last() -> None:
    """What GetServerInfo and Welcome report can be read without the documentation."""
    units = ("_max", "_min", "_ms", "_bytes", "_events", "_default")
    for name, value in load([]).reported_limits().items():
        assert name.endswith(units), name
        assert value > 0, name


def test_settings_are_what_the_coordinator_runs_with(tmp_path: Path) -> None:
    """Each limit that can be set arrives where it holds."""
    changed = load(
        ["--data-dir", str(tmp_path), "--batch-bytes-max", "9", "--outbox-bytes-max", "8", "--locks-max", "7"]
    )
    assert changed.sqlite_path.parent == tmp_path
    assert changed.shell_limits().sequencer.batch_bytes_max == 9
    assert changed.session_limits().outbox_bytes_max == 8
    assert changed.core_limits().locks_max == 7
    assert changed.reported_limits()["locks_max"] == 7
    assert contract_limits().items() <= changed.reported_limits().items()
