"""How long a model takes for a batch, and the memory that it takes meanwhile."""

import gc
import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from kdpipe.anatomy.families import HEAD_TASKS, family_name, longest_input, shape_of
from kdpipe.errors import KdpipeError, ModelError
from kdpipe.models.family import family_of, family_of_config
from kdpipe.models.loading import head_kind, read_model_config
from kdpipe.processes import processor

# The numbers of passes that warm up, and their seconds at least.
WARMUP, WARMUP_SECONDS = 3, 0.5
# The most passes of one shape: enough for a percentile, and over at once where a model is small.
MOST = 200
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Latency:
    """How long a model takes for a batch, and how it was measured.

    Args:
        batch: texts of the batch.
        length: tokens of each text.
        threads: processor threads.
        warmup: passes that warm up, and do not count.
        repeats: passes that count.
        median_seconds: the median of their seconds.
        p95_seconds: the 95th percentile of their seconds.
        peak_bytes: on a processor, the most memory of the whole process, its libraries and the weights among
            it, while passes ran (where the system cannot tell, since the process began); on a GPU, the most
            memory of tensors there.
        device: name of the processor or of the GPU.
    """

    batch: int
    length: int
    threads: int
    warmup: int
    repeats: int
    median_seconds: float
    p95_seconds: float
    peak_bytes: int
    device: str


def measure(
    model: PreTrainedModel,
    batch: int = 1,
    length: int = 128,
    *,
    threads: int = 1,
    repeats: int = 20,
    seconds: float = 5.0,
) -> Latency:
    """Time passes forward of a model over a batch of random tokens, none of which is padding.

    Nothing else should run on the machine. Three passes warm up, or more until half a second is over. Then
    passes count until their time is over, at most 200. On a GPU, each pass ends when the GPU has ended it.

    Args:
        model: the model, on its device.
        batch: texts of the batch.
        length: tokens of each text.
        threads: processor threads.
        repeats: the least number of passes that count.
        seconds: seconds after which no further pass begins, once there are so many.

    Raises:
        KdpipeError: a number is below 1, or the model is of no family, or reads no texts of this length.
    """
    if not isinstance(model, PreTrainedModel):
        found = f"found a {type(model).__name__}"
        raise ModelError(f"measure: expected a model of a family (`kdpipe list families`), {found}")
    asked = Asked(batch, length, threads, repeats, seconds)
    _check(model.config, type(model).__name__, asked)
    model.eval()
    device = model.device
    inputs = {name: tensor.to(device) for name, tensor in _inputs(model.config, batch, length).items()}

    def run() -> None:
        family_of(model).run(model, inputs)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return _timed(run, asked, device)


def measure_exported(
    folder: Path,
    batch: int = 1,
    length: int = 128,
    *,
    threads: int = 1,
    repeats: int = 20,
    seconds: float = 5.0,
) -> Latency:
    """Time passes of an exported model by ONNX Runtime on a processor, as `measure` does.

    Args:
        folder: the folder of the exported model.
        batch: texts of the batch.
        length: tokens of each text.
        threads: processor threads.
        repeats: the least number of passes that count.
        seconds: seconds after which no further pass begins.
    """
    # Packages of an extra, which no other model needs.
    from kdpipe.exporting.session import OnnxModel

    config = read_model_config(folder)
    asked = Asked(batch, length, threads, repeats, seconds)
    _check(config, (config.architectures or [""])[0], asked)
    model, inputs = OnnxModel(folder, threads=threads), _inputs(config, batch, length)
    return _timed(lambda: model.run(inputs), asked, torch.device("cpu"))


class Asked(NamedTuple):
    """What a measurement is of; fields as the arguments of `measure`."""

    batch: int
    length: int
    threads: int
    repeats: int
    seconds: float


def _timed(run: Callable[[], Any], asked: Asked, device: torch.device) -> Latency:
    """Return how long a pass takes."""
    with _alone(asked.threads), torch.inference_mode():
        _reset_peak(device)
        warmup = len(_passes(run, WARMUP, WARMUP_SECONDS, most=inf))
        times = _passes(run, asked.repeats, asked.seconds, most=MOST)
    median, p95 = (float(np.percentile(times, share)) for share in (50, 95))
    return Latency(*asked[:3], warmup, len(times), median, p95, _peak_bytes(device), _name(device))


def _check(config: Any, class_name: str, asked: Asked) -> None:
    for name in ("batch", "length", "threads", "repeats"):
        if (number := getattr(asked, name)) < 1:
            raise KdpipeError(f"{name}: expected a number from 1, found {number}")
    # This raises where kdpipe does not know the family.
    family_of_config(config)
    shape = shape_of(family_name(config.model_type), config.to_dict())
    task, *_ = HEAD_TASKS.get(head_kind(config, class_name), ("",))
    longest = longest_input(shape, task)
    if longest and asked.length > longest:
        what = f"expected at most {longest} tokens, which the model reads, found {asked.length}"
        raise ModelError(f"length: {what}")


def _inputs(config: Any, batch: int, length: int) -> dict[str, Tensor]:
    """Return a batch of random tokens, with what else a model's body takes."""
    family = family_of_config(config)
    vocabulary = getattr(config, family.shape_fields["vocabulary"])
    ids = torch.randint(vocabulary, (batch, length), generator=torch.Generator().manual_seed(0))
    made = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "token_type_ids": torch.zeros_like(ids),
    }
    return {name: made[name] for name in family.inputs}


@contextmanager
def _alone(threads: int) -> Iterator[None]:
    """Compute with some threads, and keep Python from collecting garbage meanwhile."""
    before, collects = torch.get_num_threads(), gc.isenabled()
    torch.set_num_threads(threads)
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        torch.set_num_threads(before)
        if collects:
            gc.enable()


def _passes(run: Callable[[], None], least: int, seconds: float, most: float) -> list[float]:
    """Return the seconds of each pass: of some at least, and of more until their time is over."""
    times: list[float] = []
    begun = perf_counter()
    while len(times) < least or (len(times) < most and perf_counter() - begun < seconds):
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return times


def _reset_peak(device: torch.device) -> None:
    """Forget the peak so far, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):
            RESET.write_text("5")


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    # The peak of `getrusage` may be the peak of the process that started this one.
    found = STATUS.exists() and re.search(r"^VmHWM:\s*(\d+) kB", STATUS.read_text(), re.MULTILINE)
    return 1024 * int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _name(device: torch.device) -> str:
    """Return the name of a GPU or of the processor; `cpu` where the system does not tell."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return processor()
