"""Generates the Python of protos/ into clients/python, whose tree equals the proto tree: imports need no rewriting.

    python protos/generate.py           writes
    python protos/generate.py --check   fails when what is committed differs from what would be written

It also lays google/rpc/status.proto, which the contract imports, under build/ for buf.
"""

from __future__ import annotations

import filecmp
import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path

import grpc_tools
from google.rpc import status_pb2
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path("concert/v1")


def generate(target: Path) -> None:
    """Writes messages of every proto and gRPC stubs of *_service.proto under target."""
    (target / PACKAGE).mkdir(parents=True, exist_ok=True)
    googleapis = Path(status_pb2.__file__).parents[2]
    includes = [f"-I{ROOT / 'protos'}", f"-I{resources.files(grpc_tools) / '_proto'}", f"-I{googleapis}"]
    protos = sorted((ROOT / "protos" / PACKAGE).glob("*.proto"))
    services = [proto for proto in protos if proto.name.endswith("_service.proto")]
    messages = ["protoc", *includes, f"--python_out={target}", f"--pyi_out={target}", *map(str, protos)]
    stubs = ["protoc", *includes, f"--grpc_python_out={target}", *map(str, services)]
    for arguments in (messages, stubs):
        if protoc.main(arguments) != 0:
            raise SystemExit("protoc failed")
    (target / PACKAGE / "__init__.py").write_text('"""Generated from protos/concert/v1. Do not edit."""\n')


def lay_googleapis(target: Path) -> None:
    """Copies the one imported Google proto to where buf finds it."""
    source = Path(status_pb2.__file__).with_name("status.proto")
    (target / "google/rpc").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target / "google/rpc/status.proto")


def drift(committed: Path, fresh: Path) -> list[str]:
    """Names the files that differ, are missing or are too many."""
    compared = filecmp.dircmp(committed, fresh, ignore=["__pycache__"])
    _, mismatched, unreadable = filecmp.cmpfiles(committed, fresh, compared.common_files, shallow=False)
    return sorted([*mismatched, *unreadable, *compared.left_only, *compared.right_only])


def main() -> None:
    """Writes, or checks with --check."""
    lay_googleapis(ROOT / "build/googleapis")
    if "--check" not in sys.argv[1:]:
        generate(ROOT / "clients/python")
        return
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        differing = drift(ROOT / "clients/python" / PACKAGE, Path(scratch) / PACKAGE)
    if differing:
        raise SystemExit(f"generated code has drifted from protos/, run `make protos`: {', '.join(differing)}")


if __name__ == "__main__":
    main()
