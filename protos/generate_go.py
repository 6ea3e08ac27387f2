"""Generates the Go of protos/ into clients/go/concertv1, with plugins of pinned versions that the Go toolchain builds.

python protos/generate_go.py           writes
python protos/generate_go.py --check   fails when what is committed differs from what would be written
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

import grpc_tools
from generate import PACKAGE, ROOT, drift
from google.rpc import status_pb2
from grpc_tools import protoc

PLUGINS = (
    "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12",
    "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2",
)
MODULE = "concert.dev/clients/go"
TARGET = ROOT / "clients/go"
GENERATED = "concertv1"


def build_plugins(target: Path) -> None:
    """Builds protoc's plugins for Go into target."""
    for plugin in PLUGINS:
        environment = {**os.environ, "GOBIN": str(target), "GOFLAGS": ""}
        subprocess.run(["go", "install", plugin], check=True, env=environment, cwd=target)


def generate(target: Path) -> None:
    """Writes messages of every proto and gRPC stubs of *_service.proto under target."""
    plugins = ROOT / "build/go-plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    build_plugins(plugins)
    googleapis = Path(status_pb2.__file__).parents[2]
    includes = [f"-I{ROOT / 'protos'}", f"-I{resources.files(grpc_tools) / '_proto'}", f"-I{googleapis}"]
    protos = sorted((ROOT / "protos" / PACKAGE).glob("*.proto"))
    services = [proto for proto in protos if proto.name.endswith("_service.proto")]
    for name, chosen in (("go", protos), ("go-grpc", services)):
        plugin = f"--plugin=protoc-gen-{name}={plugins / f'protoc-gen-{name}'}"
        out = [f"--{name}_out={target}", f"--{name}_opt=module={MODULE}"]
        if protoc.main(["protoc", *includes, plugin, *out, *map(str, chosen)]) != 0:
            raise SystemExit("protoc failed")


def main() -> None:
    """Writes, or checks with --check."""
    if shutil.which("go") is None:
        raise SystemExit("the Go toolchain is not installed: https://go.dev/doc/install")
    if "--check" not in sys.argv[1:]:
        generate(TARGET)
        return
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        differing = drift(TARGET / GENERATED, Path(scratch) / GENERATED)
    if differing:
        raise SystemExit(f"generated Go has drifted from protos/, run `make protos`: {', '.join(differing)}")


if __name__ == "__main__":
    main()
