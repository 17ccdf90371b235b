"""Dates of files that lie in the future, as clocks of two machines and archives leave them.

What a file holds decides here, not its date; but Snakemake refuses whatever is made from such a file.
"""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

# Seconds by which clocks may differ.
SLACK = 1.0


def is_ahead(path: Path) -> bool:
    """Tell whether a file is dated in the future."""
    with suppress(OSError):
        return path.stat().st_mtime > time.time() + SLACK
    return False


def tell_ahead(files: Iterable[Path]) -> Iterator[str]:
    """Yield a line for each file that is dated in the future."""
    for file in dict.fromkeys(files):
        if is_ahead(file):
            date = datetime.fromtimestamp(file.stat().st_mtime)
            yield f"{file} is dated in the future ({date:%Y-%m-%d %H:%M}), which changes nothing; `touch` it"


def set_back(path: Path) -> None:
    """Give a file of kdpipe's the present date if its date lies in the future and the file may be written."""
    if is_ahead(path):
        with suppress(OSError):
            os.utime(path)
