"""The environment variables that a stage ignores, so that results do not depend on a login shell.

Libraries read many of these variables during their import, so an import of `kdpipe.stages` first removes
them. The environment of a program that uses kdpipe as a library stays as it is.
"""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

# Variables that torchrun sets for each process. They count only if all are set.
LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
NUMBERS = LAUNCHED[:4]
# Variables by which accelerate, transformers, PyTorch and its libraries of matrix products compute in another
# way, or on another device. Accelerate also takes the ranks of MPI for ranks of torchrun.
CHANGING = re.compile(
    "(ACCELERATE|FSDP|DEEPSPEED|MEGATRON_LM|PARALLELISM_CONFIG|FP8|XLA|TORCH|TORCHDYNAMO|TORCHINDUCTOR|PYTORCH"
    "|DNNL|ONEDNN|MKL|FBGEMM|CUBLAS|CUBLASLT|CUDNN|FLASH_ATTENTION|OMPI_COMM_WORLD|PMI|MV2_COMM_WORLD|PT_HPU)_.+"
    "|NVIDIA_TF32_OVERRIDE|USE_TORCH_XLA|USE_HUB_KERNELS|TRANSFORMERS_SDPA_FORCE_GQA|FORK_LAUNCHED"
    "|MPI_LOCALRANKID|MPI_LOCALNRANKS"
    # These change the number of threads, or start a tracker.
    "|OMP_DYNAMIC|OMP_THREAD_LIMIT|KUBEFLOW_TRAINER_.+"
)
# These variables match the pattern above, but change no result: memory, messages, traces, networks, folders.
# PyTorch itself exports the folder of its compiler.
HARMLESS = re.compile(
    ".*(_ALLOC_CONF|_VERBOSE|_LOG_LEVEL|_STACKTRACES|_DEBUG|_HOME|_DIR)|TORCH_(NCCL|GLOO|FR)_.+"
)
# These variables let a processor act as an older one; the results are then the older processor's.
ACTING = ("ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA")
# Loggers of libraries that tell, when they are imported, what they lack for other devices.
TALKATIVE = ("torchao", "torch.utils._pytree")
# Names of the removed variables.
removed: list[str] = []


def forget() -> None:
    """Remove the variables that would change results."""
    doomed = [name for name in os.environ if CHANGING.fullmatch(name) and not HARMLESS.fullmatch(name)]
    launched = [name for name in LAUNCHED if name in os.environ]
    if len(launched) < len(LAUNCHED) or not all(os.environ[name].isdecimal() for name in NUMBERS):
        doomed += launched
    for name in set(doomed).difference(ACTING):
        del os.environ[name]
        removed.append(name)


def hush() -> None:
    """Let libraries tell nothing of other devices when they are imported."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def silenced(*names: str) -> Iterator[None]:
    """Let some loggers tell nothing but errors meanwhile; "" is the logger of all."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def acting() -> str:
    """Return the variables that let the processor act as an older one; "" without such variables."""
    return ", ".join(f"{name}={os.environ[name]}" for name in ACTING if name in os.environ)
