"""Free forms in a config: names in any case, and paths that are patterns."""

from glob import glob
from pathlib import Path


def plain(name: str) -> str:
    """Return a name without case, hyphens and underscores, by which it is matched."""
    return name.lower().replace("-", "").replace("_", "")


def matching(path: Path) -> list[Path]:
    """Return the files that a path names, itself or as a pattern such as `texts/*.txt`, in sorted order."""
    if path.exists():
        return [path]
    files = map(Path, glob(str(path), recursive=True))  # noqa: PTH207 (the pattern may be absolute)
    return sorted(file for file in files if file.is_file())
