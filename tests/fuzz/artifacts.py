"""Artifacts that look like kdpipe's and were changed since."""

import json
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.files import change_somewhere

MANIFEST: dict[str, Any] = {
    "versions": {"kdpipe": "0.1.0", "torch": "2.8.0"},
    "commit": None,
    "device": "cpu",
    "seconds": 1.5,
    "settings": {"settings": {"path": "../models/bert"}, "threads": 1},
    "inputs": {"models/base": "0" * 64},
    "code": {
        "identity": "0" * 64,
        "roots": ["kdpipe.stages.load"],
        "modules": {"kdpipe.stages.load": "0" * 64},
    },
    "source_files": {"../models/bert/config.json": "0" * 64},
}
TEXTS = (
    b"",
    b"{}",
    b"[]",
    b"null",
    b"1",
    b"\xff",
    b'{"versions": 1}',
    b"[" * 50_000,
    b"0" * 64 + b"  ../../notes.txt\n",
)
# Places of artifacts; the configs name some of them.
FOLDERS = (
    "models/base", "models/teacher", "models/gone", "data/task/base", "data/glue/MRPC", "counts/text/base",
    "evaluations/teacher/task", "importance/teacher/task/0f", "knowledge/teacher/task/0f",
    "submissions/mine/x", "report",
)  # fmt: skip
STATE = (
    "written/models+base.json",
    "checkpoints/models+base/0f",
    "drafts/x",
    "finished/models+gone",
    "locks/x",
    "x",
)


def leave_artifacts(rng: Random, results: Path) -> list[Path]:
    """Write some artifacts and parts of the state; return their folders."""
    folders = [results / folder for folder in rng.sample(FOLDERS, 3)]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        _leave(rng, folder)
    for place in rng.sample(STATE, 2):
        state = results / ".state" / place
        state.parent.mkdir(parents=True, exist_ok=True)
        state.mkdir() if rng.random() < 0.3 else state.write_bytes(rng.choice(TEXTS))
    return [*folders, results / ".state"]


def _leave(rng: Random, folder: Path) -> None:
    (folder / "config.json").write_text("{}", encoding="utf-8")
    sums = f"{sha256(b'{}').hexdigest()}  config.json\n".encode()
    (folder / "SHA256SUMS").write_bytes(rng.choice((sums, sums, rng.choice(TEXTS))))
    manifest = json.loads(json.dumps(MANIFEST))
    if rng.random() < 0.7:
        change_somewhere(rng, manifest)
    text = json.dumps(manifest).encode()
    (folder / "manifest.json").write_bytes(rng.choice((text, text, rng.choice(TEXTS))))
    match rng.choice(("", "", "link", "notes", "lock")):
        case "link":
            (folder / "more").symlink_to("..")
        case "notes":
            (folder / "notes.txt").write_text("what to try next\n", encoding="utf-8")
        case "lock":
            (folder / "manifest.json").unlink()
            (folder / "manifest.json").mkdir()
