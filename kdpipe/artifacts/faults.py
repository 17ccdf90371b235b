"""What a machine may lack for a stage, told in one line: room on a disk, the right to write, memory."""

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
# What PyTorch says of a file that it could not write to its end, whatever kept it from that.
CUT_OFF = "unexpected pos"
# The last is said of a worker that was killed, which nobody else does.
NO_MEMORY = ("out of memory", "not enough memory", os.strerror(errno.ENOMEM), "terminated abruptly")


def tell_fault(error: BaseException, place: Path) -> str | None:
    """Return what the machine lacked and what to do about it; None if an error is of another kind.

    Libraries in Rust and C++ raise errors of their own, which only have the words of the system's in common.

    Args:
        error: the error.
        place: where the stage writes, if the error does not say.
    """
    text = " ".join(str(error).split())
    named = getattr(error, "filename", None)
    place = Path(named) if isinstance(named, str) else place
    for number, said in NO_ROOM.items():
        if os.strerror(number) in text:
            return _no_room(said, place)
    if CUT_OFF in text:
        return _no_room("a file could not be written to its end, most likely for want of room,", place)
    for number in NO_RIGHT:
        if os.strerror(number) in text:
            return (
                f"{place} cannot be read or written ({os.strerror(number).lower()}, as user {os.getuid()}); "
                "change its mode, or how its disk is mounted, or where `results` are, and start again"
            )
    for number in NO_PATH:
        if os.strerror(number) in text:
            path = shortened(str(place), MOST_PLACE)
            return f"there can be no {path} ({os.strerror(number).lower()}); give another path"
    if isinstance(error, MemoryError) or any(words in text for words in NO_MEMORY):
        return (
            f"not enough memory ({text[:160] or 'MemoryError'}); lower per_device_train_batch_size and "
            "raise gradient_accumulation_steps by as much, where a model is scored or a teacher cached lower "
            "per_device_eval_batch_size, lower max_length, or run it where there is more"
        )
    return None


def _no_room(said: str, place: Path) -> str:
    disk = shutil.disk_usage(next(folder for folder in place.absolute().parents if folder.is_dir()))
    free = f"{disk.free / 1e6:,.1f} MB of {disk.total / 1e6:,.1f} MB"
    return (
        f"{said} on the disk of {place} ({free} are free without what was half written); make room, or put "
        "`results` elsewhere, and start again"
    )
