"""Data files after accidents: cut, mixed up, of another kind, or no regular files."""

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz.values import hostile

BYTES = (
    b"\xff",
    b"\0",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n\n\n",
    b'"',
    b"\t" * 50,
    b"\xc2\x85",
    b"\xf0\x9f\x8e\x89",
    b"\x1a",
)
ROWS = (
    b"", b"\t", b"text\tlabel", b",,,,", b'"', b"x" * 200_000, b"9" * 5000, b"nan\tnan",
    b"good film\t1e999", b"{}", b'{"text": 1, "topics": null}', b'{"text": "a", "topics": [1, [2]]}',
    b"[]", b"null", b"a b c d", b"word B-\n", b"I-X", b"word\tI-WARM", b"-DOCSTART- -X- O O",
    b'{"text": "\\ud800", "topics": ["\\u0000"]}',
)  # fmt: skip
TEXTS = (
    b"", b"\n", b" " * 1000, b"[" * 100_000, b'{"a":' * 50_000, b"[" + b"9" * 5000 + b"]", b"{}", b"[]",
    b"null", b'{"data": []}', b'{"data": [{"paragraphs": [{"context": "a", "qas": [{"id": 1}]}]}]}',
    b'{"data": {"a": 1}}', b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1", b"\x1f\x8b\x08\0",
    gzip.compress(b"text,label\na,1\n")[:-6],
)  # fmt: skip
TABLES = (
    pa.table({}),
    pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.string())}),
    pa.table({"text": [None, None], "label": [None, None]}),
    pa.table({"text": [b"\xff", b"a"], "label": [1, 2]}),
    pa.table({"text": [["a"], ["b"]], "label": [{"a": 1}, {"a": 2}]}),
    pa.table({"text": ["a good film", "bad"], "label": [float("nan"), float("inf")]}),
    pa.table({"text": pa.array(["a", "b"]).dictionary_encode(), "label": ["0", "1"]}),
    pa.table({"text": ["a", "b"], "label": pa.array([1, 2], pa.decimal128(5, 2))}),
    pa.table([["a"], ["b"], ["c"]], names=["text", "text", "label"]),
    pa.table({"text": ["a", "b"], "label": [10**18, -(10**18)]}),
)
DECLARED = (
    b"{",
    b"[]",
    b"null",
    b'{"info": 1}',
    b'{"info": {"features": {"label": {"names": ["n", "n"], "_type": "ClassLabel"}}}}',
)


def spoil_file(rng: Random, place: Path) -> str:
    """Spoil a file, or a file of a folder; return the name of the accident."""
    file = rng.choice(sorted(path for path in place.rglob("*") if path.is_file()) or [place])
    change = rng.choice(CHANGES)
    change(rng, file)
    return f"{file.name} {change.__name__}"


def replace_by_other(rng: Random, file: Path) -> None:
    """Replace a file by something that is no regular file."""
    file.unlink()
    match rng.choice(("pipe", "folder", "circle", "device", "nowhere", "missing")):
        case "pipe":
            os.mkfifo(file)
        case "folder":
            file.mkdir()
        case "circle":
            file.symlink_to(file)
        case "device":
            file.symlink_to("/dev/zero")
        case "nowhere":
            file.symlink_to(file.parent / "nowhere")


def _add_bytes(rng: Random, file: Path) -> None:
    content = file.read_bytes()
    place = rng.randint(0, len(content))
    file.write_bytes(content[:place] + rng.choice(BYTES) + content[place:])


def _change_row(rng: Random, file: Path) -> None:
    rows = file.read_bytes().split(b"\n")
    place = rng.randrange(len(rows))
    rows[place : place + rng.randint(0, 1)] = [rng.choice(ROWS)]
    file.write_bytes(b"\n".join(rows))


def _mix_rows(rng: Random, file: Path) -> None:
    """Give all rows the same label, no label, or another form."""
    rows = file.read_bytes().split(b"\n")
    ends = rng.choice((b"\t1", b"", b",0", b"\tz", b" O", b"\tnan"))
    file.write_bytes(b"\n".join([rows[0], *(row.rpartition(b"\t")[0] + ends for row in rows[1:])]))


def _cut(rng: Random, file: Path) -> None:
    file.write_bytes(file.read_bytes()[: rng.randint(0, file.stat().st_size)])


def _write_text(rng: Random, file: Path) -> None:
    file.write_bytes(rng.choice(TEXTS))


def _write_noise(rng: Random, file: Path) -> None:
    file.write_bytes(rng.randbytes(rng.choice((1, 100, 10_000))))


def _write_table(rng: Random, file: Path) -> None:
    table = rng.choice(TABLES)
    if rng.random() < 0.4:
        table = table.replace_schema_metadata({b"huggingface": rng.choice(DECLARED)})
    pq.write_table(table, file)


def _change_json(rng: Random, file: Path) -> None:
    """Change a value somewhere in a JSON file; leave other files alone."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return _flip(rng, file)
    change_somewhere(rng, content)
    file.write_text(json.dumps(content), encoding="utf-8")


def change_somewhere(rng: Random, content: Any) -> None:
    """Change a value among nested values."""
    places = []
    waiting = [content]
    while waiting:
        above = waiting.pop()
        keys = (
            list(above)
            if isinstance(above, dict)
            else list(range(len(above)))
            if isinstance(above, list)
            else []
        )
        places += [(above, key) for key in keys]
        waiting += [above[key] for key in keys]
    if places:
        above, key = rng.choice(places)
        if rng.random() < 0.2:
            del above[key]
        else:
            above[key] = hostile(rng)


def _flip(rng: Random, file: Path) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(rng.randint(1, 4)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    file.write_bytes(content)


def _take_other(rng: Random, file: Path) -> None:
    """Give a file the content of another file."""
    others = sorted(path for path in file.parents[1].rglob("*") if path.is_file() and path != file)
    shutil.copy(rng.choice(others), file)


CHANGES: tuple[Callable[[Random, Path], None], ...] = (
    _add_bytes, _add_bytes, _change_row, _change_row, _mix_rows, _cut, _write_text, _write_noise,
    _write_table, _change_json, _change_json, _flip, _take_other, replace_by_other,
)  # fmt: skip
