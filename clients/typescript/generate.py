"""Generates the TypeScript of protos/ into src/generated with ts-proto, whose version package.json pins.

    python clients/typescript/generate.py           writes
    python clients/typescript/generate.py --check   fails when what is committed differs from what would be written

Needs the project's environment (for protoc) and `npm ci`. google.protobuf.Value is mapped to src/json_value.ts: a JSON
value is plain JSON on both sides, and is read and written without a tree of messages between.
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

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
COMMITTED = HERE / "src/generated"
PLUGIN = HERE / "node_modules/.bin/protoc-gen-ts_proto"
OPTIONS = (
    "exportCommonSymbols=false",
    "forceLong=bigint",
    "importSuffix=.js",
    "oneof=unions-value",
    "outputJsonMethods=false",
    "outputServices=none",
    "removeEnumPrefix=true",
    "unknownFields=true",
    "useDate=false",
    "useExactTypes=false",
    "Mgoogle/protobuf/struct.proto=../../../json_value.js",
)


def generate(target: Path) -> None:
    """Writes a module for each proto under target."""
    target.mkdir(parents=True, exist_ok=True)
    googleapis = Path(status_pb2.__file__).parents[2]
    protos = sorted((ROOT / "protos/concert/v1").glob("*.proto"))
    arguments = [
        "protoc",
        f"-I{ROOT / 'protos'}",
        f"-I{resources.files(grpc_tools) / '_proto'}",
        f"-I{googleapis}",
        f"--plugin=protoc-gen-ts_proto={PLUGIN}",
        f"--ts_proto_out={target}",
        f"--ts_proto_opt={','.join(OPTIONS)}",
        *map(str, protos),
        str(googleapis / "google/rpc/error_details.proto"),
        str(googleapis / "google/rpc/status.proto"),
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed")


def tree(root: Path) -> set[str]:
    """Every file, by its path below root."""
    return {str(path.relative_to(root)) for path in root.rglob("*.ts")}


def drift(fresh: Path) -> list[str]:
    """Names the files that differ, are missing or are too many."""
    before, after = tree(COMMITTED), tree(fresh)
    differing = [name for name in before & after if not filecmp.cmp(COMMITTED / name, fresh / name, shallow=False)]
    return sorted([*(before ^ after), *differing])


def main() -> None:
    """Writes, or checks with --check."""
    if not PLUGIN.exists():
        raise SystemExit("the generator is not installed: run `npm ci` in clients/typescript")
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(fresh)
        if "--check" not in sys.argv[1:]:
            shutil.rmtree(COMMITTED, ignore_errors=True)
            shutil.copytree(fresh, COMMITTED)
        elif differing := drift(fresh):
            raise SystemExit(f"src/generated has drifted from protos/, run generate.py: {', '.join(differing)}")


if __name__ == "__main__":
    main()
