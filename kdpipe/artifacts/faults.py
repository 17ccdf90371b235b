"""Faults of the machine, each said in one line: no room on a disk, no right to write, too little memory."""

import errno
import os
import shutil
from pathlib import Path

from kdpipe.errors import MOST_PLACE, shortened

NO_ROOM = {
    errno.ENOSPC: "there is no room left",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "a file would be larger than a process may write (ulimit -f)",
}
NO_RIGHT = (errno.EROFS, errno.EACCES, errno.EPERM)
NO_PATH = (errno.ELOOP, errno.ENAMETOOLONG)
# PyTorch says this when it could not write a whole file, whatever the cause.
CUT_OFF = "unexpected pos"
# The last phrase is about a killed worker. Only the kernel kills workers, for their memory.
NO_MEMORY = ("out of memory", "not enough memory", os.strerror(errno.ENOMEM), "terminated abruptly")


def tell_fault(error: BaseException, place: Path) -> str | None:
    """Return the machine's fault and what to do about it; None if the error has another cause.

    Libraries in Rust and C++ raise errors of other classes. These errors share only the system's words.

    Args:
        error: the error.
        place: the folder that the stage writes to, for errors that name no file.
    """
    text = " ".join(str(error).split())
    filename = getattr(error, "filename", None)
    place = Path(filename) if isinstance(filename, str) else place
    for number, cause in NO_ROOM.items():
        if os.strerror(number) in text:
            return _no_room(cause, place)
    if CUT_OFF in text:
        return _no_room("a file could not be written to its end, most likely for want of room,", place)
    for number in NO_RIGHT:
        if os.strerror(number) in text:
            return (
                f"{place} cannot be read or written ({os.strerror(number).lower()}, as user {os.getuid()}); "
                "change its mode, mount its disk for writing, or put `results` elsewhere, and start again"
            )
    for number in NO_PATH:
        if os.strerror(number) in text:
            path = shortened(str(place), MOST_PLACE)
            return f"{path} cannot exist ({os.strerror(number).lower()}); give another path"
    if isinstance(error, MemoryError) or any(words in text for words in NO_MEMORY):
        return (
            f"not enough memory ({text[:160] or 'MemoryError'}); lower per_device_train_batch_size and "
            "raise gradient_accumulation_steps by the same factor; for scoring and caching lower "
            "per_device_eval_batch_size; or lower max_length, or use a machine with more memory"
        )
    return None


def _no_room(cause: str, place: Path) -> str:
    disk = shutil.disk_usage(next(folder for folder in place.absolute().parents if folder.is_dir()))
    free = f"{disk.free / 1e6:,.1f} MB of {disk.total / 1e6:,.1f} MB"
    return (
        f"{cause} on the disk of {place} ({free} are free without the half-written files); make room, or put "
        "`results` elsewhere, and start again"
    )
