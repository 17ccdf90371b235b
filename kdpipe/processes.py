"""The processes that train one model together on one machine; torchrun or `launch` starts them.

The variables of torchrun say the number of processes and the rank of this process; without them it is alone.
Processes exchange values over the CPU, whatever device the model is on.
"""

import os
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

from kdpipe.errors import KdpipeError

# The other processes wait while the first process scores a model. No process waits for an ended process.
PATIENCE = timedelta(days=1)
CPUINFO = Path("/proc/cpuinfo")
T = TypeVar("T")


def count() -> int:
    """Return the number of processes."""
    return int(os.environ.get("WORLD_SIZE", 1))


def rank() -> int:
    """Return the number of this process, from 0; the first process does the work that is done once."""
    return int(os.environ.get("RANK", 0))


def processor() -> str:
    """Return the name of this machine's processor; `cpu` where the system does not tell."""
    text = CPUINFO.read_text(encoding="utf-8", errors="replace") if CPUINFO.exists() else ""
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1].strip() if found else "cpu"


def is_another_task() -> bool:
    """Tell whether SLURM has started several copies of this process, and this is not the first copy."""
    tasks, task = (os.environ.get(name, "") for name in ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"))
    return count() == 1 and tasks.isdecimal() and task.isdecimal() and 0 < int(task) < int(tasks)


def check_tasks() -> None:
    """Refuse to run if the first task of the same SLURM step runs the same stage.

    Raises:
        KdpipeError: the step has several tasks, and this is not the first.
    """
    if is_another_task():
        tasks = os.environ["SLURM_STEP_NUM_TASKS"]
        raise KdpipeError(
            f"expected one task of SLURM, found {tasks}, which would all do the same; start one task "
            "(`--ntasks=1`), and set `gpus: N` for a training in N processes"
        )


def join(threads: int) -> None:
    """Connect to the other processes, and take a GPU for this process if the machine has GPUs.

    Args:
        threads: processor threads of this process.

    Raises:
        KdpipeError: the processes run on several machines, or outnumber the GPUs.
    """
    here = os.environ.get("LOCAL_WORLD_SIZE", "unset")
    if here != str(count()):
        raise KdpipeError(
            f"expected all processes on one machine, found WORLD_SIZE {count()} and LOCAL_WORLD_SIZE {here}; "
            "training across machines is not supported: start it on one machine, or unset WORLD_SIZE"
        )
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if 0 < gpus < count():
        raise KdpipeError(f"expected a GPU for each of {count()} processes, found {gpus}; set `gpus: {gpus}`")
    if gpus:
        torch.cuda.set_device(rank())
    # Without this variable, accelerate chooses its own number of threads.
    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=PATIENCE)


def shared(make: Callable[[], T]) -> T:
    """Return the value that the first process makes; the other processes make nothing."""
    if count() == 1:
        return make()
    from torch import distributed

    values = [None if rank() else make()]
    distributed.broadcast_object_list(values, src=0)
    return cast(T, values[0])


def gathered(value: T) -> list[T]:
    """Wait for the values of all processes, and return them in the order of the processes."""
    if count() == 1:
        return [value]
    from torch import distributed

    values: list[Any] = [None] * count()
    distributed.all_gather_object(values, value)
    return values


def summed(values: Iterable[float]) -> list[float]:
    """Return the sums of numbers over all processes."""
    if count() == 1:
        return list(values)
    import torch

    totals = torch.tensor(list(values), dtype=torch.float64)
    torch.distributed.all_reduce(totals)
    return totals.tolist()


def leave_to_first() -> None:
    """End every process but the first."""
    if count() == 1:
        return
    from torch import distributed

    gathered(None)
    distributed.destroy_process_group()
    if rank():
        raise SystemExit(0)
