"""The records of a version's trials, in a file beside its report: from it another machine can go on."""

import gzip
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

RECORDS = "trials.jsonl.gz"


def write_records(path: Path, bodies: Mapping[str, dict]) -> None:
    """Write what the store holds of trials, {key: body}, a JSON line each in the order of the keys, compressed.

    A body says of tensors only their checksum: they stay in the store. The same bodies give the same bytes.
    """
    lines = (json.dumps({"key": key, "body": bodies[key]}, sort_keys=True) + "\n" for key in sorted(bodies))
    path.write_bytes(gzip.compress("".join(lines).encode(), 9, mtime=0))


@cache
def read_records(path: Path) -> dict[str, dict]:
    """The bodies by key, read once by a process. Raises OSError, EOFError, ValueError, KeyError or TypeError."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return {record["key"]: record["body"] for record in map(json.loads, file)}
