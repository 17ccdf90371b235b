"""A user's folders, made anew for each draw, and their files before and after the draw.

All folders lie below one folder. `work` is the working folder, with files of the user and later with results.
The environment names `home` and `tmp`. Configs read `data` and `models`.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG

import pandas as pd

from tests.conftest import sentences

USER_FILES = {
    "home/.profile": "export PS1='$ '\n",
    "home/.cache/other/kept": "",
    "home/.config/other/kept": "",
    "home/papers/thesis.tex": "\\documentclass{book}\n",
    "tmp/.keep": "",
    "work/notes.txt": "what to try next\n",
    "work/report/main.tex": "\\documentclass{article}\n",
    "work/models/own/notes.txt": "trained by hand\n",
    "work/published.csv": "model,dataset,metric,value\nteacher,task,accuracy,0.9\n",
    "work/logs/load.log": "nothing happened\n",
}
# By path: the kind, and the digest of a file or the target of a link.
Seen = Mapping[str, tuple[str, str]]


def write_template(folder: Path, data: Mapping[str, Path], models: Mapping[str, Path]) -> Path:
    """Write the folders as they are when a draw starts; `data` and `models` are copied by name."""
    for name, text in USER_FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for kind, sources in (("data", data), ("models", models)):
        for name, source in sources.items():
            shutil.copytree(source, folder / kind / name)
    _write_tables(folder / "data")
    (folder / "scratch").mkdir()
    (folder / "work/link").symlink_to("../scratch")
    for place in (folder / "work", folder / "data"):
        for name, target in (("circle", "circle"), ("device", "/dev/zero"), ("nowhere", "missing")):
            (place / name).symlink_to(target)
    return folder


def _write_tables(data: Path) -> None:
    for split, count in (("train", 24), ("validation", 12)):
        texts = sentences(count, count, longest=10)
        frame = pd.DataFrame({"text": texts, "label": [f"{len(t.split()) / 10:.1f}" for t in texts]})
        frame.to_csv(data / f"numbers-{split}.csv", index=False)
        frame.to_parquet(data / f"numbers-{split}.parquet")
        rows = [{"text": t, "topics": sorted({"film", "good"} & {*t.split()})} for t in texts]
        lines = "".join(f"{json.dumps(row)}\n" for row in rows)
        (data / f"topics-{split}.jsonl").write_text(lines, encoding="utf-8")


def renew(template: Path, world: Path) -> Path:
    """Bring the folders back to their start; unchanged files stay."""
    if not world.exists():
        shutil.copytree(template, world, symlinks=True)
    then, now = _start(template), look_at(world)
    wrong = [name for name, seen in now.items() if then.get(name) != seen]
    for name in sorted(wrong, reverse=True):
        path = world / name
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    for name in sorted(then):
        if name in wrong or name not in now:
            _copy(template / name, world / name)
    for folder in (world / "work", world / "data"):
        if not (folder / "pipe").exists():
            os.mkfifo(folder / "pipe")
    return world


@cache
def _start(template: Path) -> Seen:
    return look_at(template)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir() and not source.is_symlink():
        target.mkdir()
    else:
        shutil.copyfile(source, target, follow_symlinks=False)


def look_at(folder: Path) -> Seen:
    """Return the kind and the digest of all files in a folder, by path."""
    above = len(str(folder)) + 1
    return {str(path)[above:]: _look_at(path) for path in _walk(folder)}


def changes(before: Seen, after: Seen, allowed: Collection[str]) -> list[str]:
    """Return the files that were changed, removed, or added outside the allowed folders."""
    lost = [name for name, seen in before.items() if after.get(name) != seen]
    new = [name for name in after if name not in before and not is_below(name, allowed)]
    return [*(f"changed or removed: {name}" for name in lost), *(f"added: {name}" for name in new)]


def is_below(name: str, folders: Collection[str]) -> bool:
    """Tell whether a path is one of some folders, or lies in one."""
    return any(name == folder or name.startswith(f"{folder}/") for folder in folders)


def _walk(folder: Path) -> Iterator[Path]:
    for above, folders, files in os.walk(folder):
        yield from (Path(above, name) for name in (*folders, *files))


def _look_at(path: Path) -> tuple[str, str]:
    mode = path.lstat().st_mode
    if S_ISLNK(mode):
        return "link", str(path.readlink())
    if S_ISREG(mode):
        return "file", hashlib.sha256(path.read_bytes()).hexdigest()
    return ("folder" if S_ISDIR(mode) else "special"), ""
