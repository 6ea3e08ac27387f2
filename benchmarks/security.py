"""What authentication and authorisation cost a coordinator, in CPU time beside one that asks nobody, in turn.

Unary calls and commands of a session over plain text. Both get the same JWT with every call, so that the client and the
batches that it leads to are the same: what is measured is finding out who calls and what they may do.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from benchmarks import servers
from benchmarks.alternation import alternate
from benchmarks.figure import Figure, Sample, Target
from benchmarks.load import Load
from benchmarks.loops import run
from benchmarks.servers import Server
from benchmarks.settings import Settings

OPEN = "nobody is asked"
ACCESS = "grants: [{principals: ['jwt:bench'], role: agent, namespaces: ['*']}]\n"


def measure(settings: Settings) -> list[Figure]:
    """CPU of the coordinator for each decision, beside one that authenticates nobody."""
    unary = Figure(
        name="security, unary",
        unit="µs of CPU a decision",
        ceiling=OPEN,
        target=Target(floor=1.08, goal=1.05, lower_is_better=True),
    )
    session = Figure(
        name="security, session",
        unit="µs of CPU a decision",
        ceiling=OPEN,
        target=Target(floor=1.03, goal=1.01, lower_is_better=True),
    )
    for number in range(settings.rounds):  # of processes of their own: hashes and addresses are others in each
        with _secured(settings) as (secured, token), servers.concert(settings.loop) as unasked:
            for figure, kind in ((unary, "calls"), (session, "commands")):
                namespace = settings.namespace(f"security-{kind}", number)
                loads = [
                    Load(
                        kind=kind,
                        address=server.address,
                        namespace=namespace,
                        seconds=4 * settings.seconds,
                        in_flight=32,
                        token=token,
                    )
                    for server in (secured, unasked)
                ]
                asked, beside = run(alternate((secured, unasked), loads), settings.loop)
                figure.samples.append(Sample(concert=asked, ceiling=beside))
    return [unary, session]


@contextlib.contextmanager
def _secured(settings: Settings) -> Iterator[tuple[Server, str]]:
    """A coordinator that takes the JWTs of one key, and such a token."""
    key = ec.generate_private_key(ec.SECP256R1())
    with (
        tempfile.TemporaryDirectory(prefix="concert-bench-") as files,
        tempfile.TemporaryDirectory(prefix="concert-bench-", dir=servers.disk()) as data,
    ):
        access, keys = Path(files, "access.yaml"), Path(files, "keys.json")
        access.write_text(ACCESS)
        keys.write_text(json.dumps({"keys": [{**json.loads(ECAlgorithm.to_jwk(key.public_key())), "kid": "bench"}]}))
        claims = {"iss": "bench", "aud": "concert", "sub": "bench", "exp": datetime.now(UTC) + timedelta(hours=12)}
        token = jwt.encode(claims, key, algorithm="ES256", headers={"kid": "bench"})
        arguments = ["--listen", "127.0.0.1:0", "--data-dir", data, "--access-file", str(access)]
        arguments += ["--jwt-keys", str(keys), "--jwt-issuer", "bench", "--jwt-audience", "concert"]
        with servers.serving("coordinator_service", arguments, {"CONCERT_EVENT_LOOP": settings.loop}) as server:
            yield server, token
