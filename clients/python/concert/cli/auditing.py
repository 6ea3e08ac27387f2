"""`concert audit`: a range of a log as a signed file that proves itself, and the proof."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TypeVar

import typer

from concert.cli import exit_codes
from concert.cli.command import Call, Refusal, command
from concert.cli.dev import MISSING

if TYPE_CHECKING:
    from concert import audit

app = typer.Typer(help="Export the log as signed files, and verify them.", no_args_is_help=True)

HOLDS, PARTS, NOT_TRIED, NEWER = exit_codes.OK, exit_codes.REFUSED, exit_codes.MISUSED, 3
"""As those of replay."""
PRIVATE_MODE, PUBLIC_MODE = 0o600, 0o644
PEM_BYTES_MAX = 64 * 1024

T = TypeVar("T")


async def keygen(
    call: Call,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The private key; the public one gets .pub behind it.")],
) -> int:
    """Makes a key to sign exports with: Ed25519, in PEM. The private key is for its owner's eyes alone.

    Existing files are not overwritten. The public key is what whoever verifies needs.
    """
    from concert import audit

    pair = audit.new_key_pair()
    public = file.with_name(file.name + ".pub")
    with _told():
        if public.exists():
            raise FileExistsError(17, os.strerror(17), str(public))
        _create(file, pair.private, PRIVATE_MODE)
        _create(public, pair.public, PUBLIC_MODE)
    call.printer.line(f"{file} signs, {public} verifies: key {pair.key_id}")
    return HOLDS


async def export(
    call: Call,
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="The private key that signs, in PEM.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where to; without it, standard output.")] = "-",
    first: Annotated[
        int | None, typer.Option("--from", metavar="SEQUENCE", help="The first event; else the oldest kept.")
    ] = None,
    last: Annotated[
        int | None, typer.Option("--to", metavar="SEQUENCE", help="The last event; else where the log ends now.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Whose log; else default.")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", metavar="DIRECTORY", help="Where the log is; else the coordinator's settings say."),
    ] = None,
) -> int:
    """Writes events as signed JSON lines with their hash chain, which `audit verify` proves without a coordinator.

    Reads the store itself, beside a coordinator that runs: --data-dir, else that of REDIS_URL and the coordinator's
    other settings in the environment. Whole commits are written, so the range may come out wider than asked for.
    Exit codes: 0 written, 1 the log does not fit its hashes, 2 not tried, 3 a later version wrote the log.
    """
    from concert import audit

    try:
        from coordinator_service.config import ConfigError, load
        from coordinator_service.log.base import LogCorrupt, LogError, LogTooNew
        from coordinator_service.stored_log import stored_log
    except ModuleNotFoundError as missing:
        raise Refusal(f"{MISSING} ({missing})", exit_codes.FAULT) from None
    signer = _key(key, audit.read_private_key)
    where = [] if data_dir is None else ["--event-store", "sqlite", "--data-dir", str(data_dir)]
    try:
        settings = load(where)
        async with stored_log(settings, namespace or call.place.namespace or "default") as log:
            with _told(), _written(file) as out:
                written = await _export(log, signer, first, last, out)
    except LogTooNew as newer:
        raise Refusal(str(newer), NEWER) from None
    except (LogCorrupt, audit.NotJson) as damage:
        raise Refusal(str(damage), PARTS) from None
    except (ConfigError, LogError) as fault:
        raise Refusal(str(fault), NOT_TRIED) from None
    call.printer.remark(written)
    return HOLDS


async def verify(
    call: Call,
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="The public key, in PEM.")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="One, or several that follow each other.")],
) -> int:
    """Proves that exports are what was signed, and that each goes on where the one before it ended.

    Needs the files and the public key, nothing else. The first line that was changed, removed, added or swapped is
    named. Exit codes: 0 they hold, 1 something does not, 2 not tried, 3 a later version wrote it.
    """
    from concert import audit

    verifier = _key(key, audit.read_public_key)
    before: tuple[Path, audit.Verified] | None = None
    for file in files:
        try:
            with _told(), file.open("rb") as opened:
                verified = audit.verify(opened, verifier)
            _check_follows(before, verified)
        except audit.AuditFault as fault:
            newer = isinstance(fault, audit.AuditTooNew)
            _print(call, file, {"holds": False, "line": fault.line, "what": fault.what}, f":{fault.line}: {fault.what}")
            return NEWER if newer else PARTS
        said = f"sequences {verified.first_sequence} to {verified.last_sequence}, log {verified.log_id}"
        said = f": holds: {verified.namespace}, {said}, hash {verified.hash}, key {verified.key_id}"
        _print(call, file, {"holds": True, **asdict(verified)}, said)
        before = file, verified
    return HOLDS


command(app, "keygen", calls=False, prints=False)(keygen)
command(app, "export", calls=False, prints=False)(export)
command(app, "verify", calls=False)(verify)


async def _export(log: Any, key: Any, first: int | None, last: int | None, out: BinaryIO) -> str:
    """Writes the lines, and says what was written."""
    from concert import audit
    from coordinator_service.log.codec import split
    from coordinator_service.log.extract import extracted, find_extract

    extract = await find_extract(log, first, last)
    exported = audit.Range(
        namespace=extract.namespace,
        log_id=extract.log_id,
        first_sequence=extract.first_sequence,
        last_sequence=extract.last_sequence,
        base_hash=extract.base_hash,
    )
    writer = audit.Writer(key, exported)
    out.write(writer.header())
    async for stored in extracted(log, extract):
        out.writelines(writer.commit(split(stored.batch.events), stored.hash))
    out.write(writer.trailer())
    said = f"sequences {extract.first_sequence} to {extract.last_sequence}, log {extract.log_id}"
    return f"{extract.namespace}: {said}, hash {writer.hash.hex()}"


def _check_follows(before: tuple[Path, audit.Verified] | None, verified: audit.Verified) -> None:
    """Raises AuditFault, of the first line, when a file does not go on where the one before it ended."""
    from concert import audit

    if before is None:
        return
    file, previous = before
    ended = (previous.namespace, previous.log_id, previous.last_sequence + 1, previous.hash)
    if ended == (verified.namespace, verified.log_id, verified.first_sequence, verified.base_hash):
        return
    begins = f"{verified.namespace}, log {verified.log_id}, sequence {verified.first_sequence}"
    ends = f"{previous.namespace}, log {previous.log_id}, sequence {previous.last_sequence}"
    raise audit.AuditFault(1, f"it begins with {begins}, and does not go on where {file} ends, with {ends}")


def _print(call: Call, file: Path, members: dict[str, object], line: str) -> None:
    if call.printer.for_people:
        call.printer.line(f"{file}{line}")
    else:
        call.printer.following({"file": str(file), **members})


def _key(file: Path, read: Callable[[bytes], T]) -> T:
    from concert import audit

    with _told(), file.open("rb") as opened:
        pem = opened.read(PEM_BYTES_MAX)
    try:
        return read(pem)
    except audit.KeyUnusable as fault:
        raise Refusal(f"{file}: {fault}", NOT_TRIED) from None


def _create(file: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)


@contextmanager
def _told() -> Iterator[None]:
    """What the system says of files is a reason not to try, as for replay."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as fault:
        raise Refusal(f"{fault.filename or 'the file'}: {fault.strerror or fault}", NOT_TRIED) from None


@contextmanager
def _written(file: str) -> Iterator[BinaryIO]:
    """A file that is there once it is whole, or standard output."""
    if file == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(file)
    beside = path.with_name(f"{path.name}.part")
    try:
        with beside.open("wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
