"""The variables that a stage does without, so that a config gives the same whatever a login shell exports.

Libraries read many while they are imported: importing `kdpipe.stages` removes them first. Nothing is removed
from the environment of a program that uses kdpipe as a library.
"""

import os
import re

# What torchrun tells each process. A part of the set says nothing.
LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
NUMBERS = LAUNCHED[:4]
# Variables by which accelerate, transformers, PyTorch and its libraries of matrix products compute in another
# way, or on another device. Accelerate also takes the ranks of MPI for ranks of torchrun.
CHANGING = re.compile(
    "(ACCELERATE|FSDP|DEEPSPEED|MEGATRON_LM|PARALLELISM_CONFIG|FP8|XLA|TORCH|TORCHDYNAMO|TORCHINDUCTOR|PYTORCH"
    "|DNNL|ONEDNN|MKL|FBGEMM|CUBLAS|CUBLASLT|CUDNN|FLASH_ATTENTION|OMPI_COMM_WORLD|PMI|MV2_COMM_WORLD|PT_HPU)_.+"
    "|NVIDIA_TF32_OVERRIDE|USE_TORCH_XLA|USE_HUB_KERNELS|TRANSFORMERS_SDPA_FORCE_GQA|FORK_LAUNCHED"
    "|MPI_LOCALRANKID|MPI_LOCALNRANKS"
    # Other numbers of threads than a job is given; a tracker that nobody has asked for.
    "|OMP_DYNAMIC|OMP_THREAD_LIMIT|KUBEFLOW_TRAINER_.+"
)
# Variables of the same names' beginnings that change no number: memory, messages, traces, networks, folders.
# PyTorch itself exports the folder of its compiler.
HARMLESS = re.compile(
    ".*(_ALLOC_CONF|_VERBOSE|_LOG_LEVEL|_STACKTRACES|_DEBUG|_HOME|_DIR)|TORCH_(NCCL|GLOO|FR)_.+"
)
# By these variables a processor acts as an older processor. It then gives the numbers of another machine.
ACTING = ("ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA")
# What has been removed.
removed: list[str] = []


def forget() -> None:
    """Remove the variables that would change what is computed."""
    doomed = [name for name in os.environ if CHANGING.fullmatch(name) and not HARMLESS.fullmatch(name)]
    launched = [name for name in LAUNCHED if name in os.environ]
    if len(launched) < len(LAUNCHED) or not all(os.environ[name].isdecimal() for name in NUMBERS):
        doomed += launched
    for name in set(doomed).difference(ACTING):
        del os.environ[name]
        removed.append(name)


def acting() -> str:
    """Return by which variables the processor acts as an older one; "" where it does not."""
    return ", ".join(f"{name}={os.environ[name]}" for name in ACTING if name in os.environ)
