"""Generates with protobuf-es, and runs codecs.mjs and transports.mjs against the bare Python server."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path

import grpc_tools
from google.rpc import status_pb2
from grpc_tools import protoc

from benchmarks import servers

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def main() -> None:
    """Prints what was measured."""
    with tempfile.TemporaryDirectory(prefix="choices-", dir=HERE) as directory:
        place = Path(directory)
        for name in ("package.json", "package-lock.json", ".npmrc", "codecs.mjs", "transports.mjs"):
            shutil.copy(HERE / name, place / name)
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=place, check=True)
        generate(place)
        client = str(ROOT / "clients/typescript/dist")
        subprocess.run(["node", "codecs.mjs", client], cwd=place, check=True)
        with servers.ceiling("uvloop") as server:
            subprocess.run(["node", "transports.mjs", server.address], cwd=place, check=True)


def generate(place: Path) -> None:
    """The contract by protobuf-es."""
    googleapis = Path(status_pb2.__file__).parents[2]
    protos = sorted((ROOT / "protos/concert/v1").glob("*.proto"))
    arguments = [
        "protoc",
        f"-I{ROOT / 'protos'}",
        f"-I{resources.files(grpc_tools) / '_proto'}",
        f"-I{googleapis}",
        f"--plugin=protoc-gen-es={place / 'node_modules/.bin/protoc-gen-es'}",
        f"--es_out={place}",
        "--es_opt=target=js,import_extension=js",
        *map(str, protos),
        str(googleapis / "google/rpc/status.proto"),
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed")


if __name__ == "__main__":
    main()
