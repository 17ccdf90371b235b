"""What a job may need on a cluster: memory and time, estimated from its settings before anything is read.

Estimates are generous, not tight. A job that needs more is given more when it is tried again, up to what a
cluster starts: a training goes on from its checkpoint, so that it need not be given the time of all of it.
"""

from collections.abc import Mapping
from typing import Any

from kdpipe.config.entries import Dataset, Shape
from kdpipe.config.graph import Graph
from kdpipe.config.groups import SHORT, TRAINED
from kdpipe.config.jobs import Job
from kdpipe.config.settings.distillation import Distillation
from kdpipe.config.settings.finetune import FinetuneSettings
from kdpipe.config.settings.jobs import CacheTeacherSettings, EvaluateSettings, ScoreImportanceSettings
from kdpipe.config.settings.pretrain import PretrainSettings
from kdpipe.config.settings.schedule import ScheduleSettings

# In MB (10^6 bytes): the two Snakemakes of a job on a cluster, and a stage with its libraries and data.
SNAKEMAKE_MB, STAGE_MB = 300, 1200
# Bytes of a float32 weight; and with its gradient and the two moments of Adam.
WEIGHT, TRAINED_WEIGHT = 4, 16
# Where a model is only named, of the Hub, it is taken to be as large as BERT-base.
USUAL = {"depth": 12, "width": 768, "heads": 12, "neurons": 3072, "vocabulary": 30522}
# Training rows where no file tells, and bytes of a row where one does.
ROWS, ROW_BYTES = 100_000, 100
SCORED_BATCH = 64
# Minutes of every job, at the least, and how long it may ask for. Most clusters end a job after a day: the
# times of a group, which add up, fit in it. There a model is made from another one, trained and scored.
MINUTES, DAY = 15, 24 * 60
LONGEST = {**dict.fromkeys(SHORT, 60), **dict.fromkeys(TRAINED, 20 * 60), "evaluate": 3 * 60}
MOST_MEMORY = 3
# Floating-point operations a second of a thread and of a GPU, well below what usual ones do.
THREAD_SPEED, GPU_SPEED = 3e10, 5e12
# The share of a dataset's rows that evaluations read, which are those held out.
HELD_OUT = 0.5
TRAINING = FinetuneSettings | PretrainSettings | Distillation
RUNNING = CacheTeacherSettings | EvaluateSettings | ScoreImportanceSettings


def memory_mb(graph: Graph, job: Job, attempt: int = 1) -> int:
    """Return the memory that a job asks for, in MB; more at each attempt, up to three times as much."""
    return min(attempt, MOST_MEMORY) * _memory_mb(graph, job)


def minutes(graph: Graph, job: Job, attempt: int = 1) -> int:
    """Return the time that a job asks for, in minutes; more at each attempt, as far as it may."""
    return min(attempt * _minutes(graph, job), LONGEST.get(job.stage, DAY))


def _memory_mb(graph: Graph, job: Job) -> int:
    settings = job.settings.get("settings")
    shapes = [_known(graph.facts[name].shape) for name in _models(graph, job)]
    size = WEIGHT * sum(map(parameters, shapes))
    dataset, processes = _dataset(graph, job), 1
    if isinstance(settings, TRAINING) and dataset:
        processes = max(1, graph.document.gpus)
        size = processes * (size + TRAINED_WEIGHT * parameters(shapes[0]))
        size += activations(shapes[0], _training(settings, "per_device_train_batch_size", 8), dataset)
    elif isinstance(settings, RUNNING) and dataset:
        size += activations(shapes[0], SCORED_BATCH, dataset)
    return SNAKEMAKE_MB + processes * STAGE_MB + round(size / 1e6)


def _minutes(graph: Graph, job: Job) -> int:
    settings, dataset = job.settings.get("settings"), _dataset(graph, job)
    if not isinstance(settings, TRAINING | RUNNING) or dataset is None:
        return MINUTES
    shape = _known(graph.facts[_models(graph, job)[0]].shape)
    tokens = _rows(dataset) * dataset.max_length / 2
    if isinstance(settings, TRAINING):
        tokens *= 3 * _training(settings, "num_train_epochs", 3)
    if isinstance(settings, ScheduleSettings):
        tokens *= len(settings.sparsities)
    if isinstance(settings, EvaluateSettings):
        tokens *= HELD_OUT
    document = graph.document
    gpus = document.gpus if isinstance(settings, TRAINING) else min(1, document.gpus)
    speed = gpus * GPU_SPEED or document.threads * THREAD_SPEED
    work = 2 * (parameters(shape) - _embeddings(shape)) * tokens
    return MINUTES + round(work / speed / 60)


def parameters(shape: Mapping[str, int]) -> int:
    """Return about how many weights a model has: four square maps and a feed-forward layer in each block."""
    block = 4 * shape["width"] ** 2 + 2 * shape["width"] * shape["neurons"]
    return _embeddings(shape) + shape["depth"] * block


def activations(shape: Mapping[str, int], batch: int, dataset: Dataset) -> int:
    """Return the bytes that a model's blocks keep of a batch for the pass backward, in float32.

    Reference:
        Korthikanti et al. 2022, Reducing Activation Recomputation in Large Transformer Models
        (arXiv 2205.05198), equation 1, which is for 16 bits: s b h (34 + 5 a s / h) a block.
    """
    length, width = dataset.max_length, shape["width"]
    return 2 * shape["depth"] * batch * length * (34 * width + 5 * shape["heads"] * length)


def _embeddings(shape: Mapping[str, int]) -> int:
    return shape["vocabulary"] * shape["width"]


def _known(shape: Shape) -> dict[str, int]:
    found = {name: getattr(shape, name) for name in USUAL}
    return {name: USUAL[name] if value is None else value for name, value in found.items()}


def _models(graph: Graph, job: Job) -> list[str]:
    """Return the models that a job makes or reads, that which it runs first."""
    folders = [job.folder, *(folder for folders in job.inputs.values() for folder in folders)]
    return [folder.name for folder in folders if folder.parent == graph.layout.model("x").parent]


def _dataset(graph: Graph, job: Job) -> Dataset | None:
    settings = job.settings.get("settings")
    name = getattr(settings, "dataset", None)
    for folder in job.inputs.get("data", ()):
        name = folder.parent.name
    return graph.datasets[name] if name else None


def _training(settings: Any, name: str, usual: int) -> int:
    return int(settings.training.model_dump().get(name) or usual)


def _rows(dataset: Dataset) -> int:
    rows = dataset.settings.rows
    if isinstance(rows, int):
        return rows
    files = [file for source in dataset.sources for file in source.local_files() if file.is_file()]
    return sum(file.stat().st_size for file in files) // ROW_BYTES or ROWS
