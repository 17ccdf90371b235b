"""The processes that train one model together, on one machine, started by torchrun or by `launch`.

The environment says which of them this is, in the variables of torchrun; without these it is the only one.
What they tell each other here goes between processors, whatever the model runs on.
"""

import os
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar, cast

from kdpipe.errors import KdpipeError

# The others wait as long as the first one scores a model. One that has ended is waited for by none.
PATIENCE = timedelta(days=1)
T = TypeVar("T")


def count() -> int:
    """Return how many processes there are."""
    return int(os.environ.get("WORLD_SIZE", 1))


def rank() -> int:
    """Return which of them this is, from 0; the first one does what is done once."""
    return int(os.environ.get("RANK", 0))


def is_another_task() -> bool:
    """Tell whether SLURM has started this several times, and it is not the first."""
    tasks, task = (os.environ.get(name, "") for name in ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"))
    return count() == 1 and tasks.isdecimal() and task.isdecimal() and 0 < int(task) < int(tasks)


def check_tasks() -> None:
    """Check that the first task of the same step of SLURM does not do the same.

    Raises:
        KdpipeError: it does.
    """
    if is_another_task():
        tasks = os.environ["SLURM_STEP_NUM_TASKS"]
        raise KdpipeError(
            f"expected one task of SLURM, found {tasks}, which would all do the same; start one "
            "(`--ntasks=1`), and set `gpus: N` for a training in N processes"
        )


def join(threads: int) -> None:
    """Meet the other processes, and take a GPU of one's own where there are any.

    Args:
        threads: processor threads of this process.

    Raises:
        KdpipeError: they are on several machines, or more than its GPUs.
    """
    here = os.environ.get("LOCAL_WORLD_SIZE", "unset")
    if here != str(count()):
        raise KdpipeError(
            f"expected all processes on one machine, found WORLD_SIZE {count()} and LOCAL_WORLD_SIZE {here}; "
            "training across machines is not supported: start it on one, or unset WORLD_SIZE"
        )
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if 0 < gpus < count():
        raise KdpipeError(f"expected a GPU for each of {count()} processes, found {gpus}; set `gpus: {gpus}`")
    if gpus:
        torch.cuda.set_device(rank())
    # Where this is unset, accelerate chooses a number of threads itself.
    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=PATIENCE)


def shared(make: Callable[[], T]) -> T:
    """Return what the first process makes; the others make nothing."""
    if count() == 1:
        return make()
    from torch import distributed

    made = [None if rank() else make()]
    distributed.broadcast_object_list(made, src=0)
    return cast(T, made[0])


def gathered(value: T) -> list[T]:
    """Return the values of all processes in their order, when the last one has given its own."""
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
    """End every process but the first, which goes on alone."""
    if count() == 1:
        return
    from torch import distributed

    gathered(None)
    distributed.destroy_process_group()
    if rank():
        raise SystemExit(0)
