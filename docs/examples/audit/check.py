import base64
import hashlib
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_public_key


def framed(stored):
    length, varint = len(stored), b""
    while length >= 0x80:
        varint, length = varint + bytes([length & 0x7F | 0x80]), length >> 7
    return b"\x0a" + varint + bytes([length]) + stored


key = load_pem_public_key(Path(sys.argv[1]).read_bytes())
digest, commit = bytes(32), b""
for number, line in enumerate(Path(sys.argv[2]).read_bytes().splitlines(keepends=True), 1):
    body, _, _ = line.rpartition(b',"digest":"')
    digest = hashlib.sha256(digest + body).digest()
    members = json.loads(line)
    assert members["digest"] == digest.hex(), f"line {number}"
    if members["kind"] == "header":
        chain = bytes.fromhex(members["baseHash"])
    elif members["kind"] == "event":
        commit += framed(base64.b64decode(members["stored"]))
        if "hash" in members:
            chain, commit = hashlib.sha256(chain + commit).digest(), b""
            assert members["hash"] == chain.hex(), f"line {number}"
key.verify(base64.b64decode(members["signature"]), b"concert audit 1\n" + digest)
print("holds up to", chain.hex())
