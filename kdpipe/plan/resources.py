"""What a job may need on a cluster: memory and time, estimated from its settings before anything is read.

Estimates are generous, not tight. A job that needs more is given more when it is tried again, up to what a
cluster starts: a training goes on from its checkpoint, so that it need not be given the time of all of it.
"""

from collections.abc import Iterator

from kdpipe.anatomy.signals import SIGNAL_KINDS, Signal, token_bytes
from kdpipe.config.settings.distillation import Distillation
from kdpipe.config.settings.training import count_steps, examples_of_step
from kdpipe.plan.entries import Dataset
from kdpipe.plan.graph import Graph
from kdpipe.plan.groups import SHORT, TRAINED
from kdpipe.plan.jobs import Job
from kdpipe.plan.sizes import activations, block_parameters, encoded_bytes, known, parameters, rows_of
from kdpipe.plan.stages.finetune import FinetuneSettings
from kdpipe.plan.stages.helpers import (
    CacheTeacherSettings,
    EvaluateSettings,
    ExportSettings,
    ScoreImportanceSettings,
)
from kdpipe.plan.stages.pretrain import PretrainSettings
from kdpipe.plan.stages.schedule import ScheduleSettings

# In MB (10^6 bytes): the two Snakemakes of a job on a cluster, and a stage with its libraries and data.
SNAKEMAKE_MB, STAGE_MB = 300, 1200
# Bytes of a float32 weight; and with its gradient and the two moments of Adam.
WEIGHT, TRAINED_WEIGHT = 4, 16
SCORED_BATCH = 64
# Rows of which a teacher's signals are kept in memory until they are written.
CACHED_ROWS = 1024
# Minutes of every job, at the least, and how long it may ask for. Most clusters end a job after a day: the
# times of a group, which add up, fit in it. There a model is made from another one, trained and scored.
MINUTES, DAY = 15, 24 * 60
LONGEST = {**dict.fromkeys(SHORT, 60), **dict.fromkeys(TRAINED, 20 * 60), "evaluate": 3 * 60}
LONGEST |= {"preprocess": DAY // 2, "count_tokens": DAY // 2}
MOST_MEMORY = 3
# Floating-point operations a second of a thread and of a GPU, well below what usual ones do.
THREAD_SPEED, GPU_SPEED = 3e10, 5e12
# A pass forward and one backward take as long as three forward.
LEARNING = 3
# Tokens a second that are encoded or counted, by stages of which one makes its own tokenizer before.
ENCODED, ENCODING = 5e4, ("preprocess", "count_tokens", "pretrain")
# The share of a dataset's rows that is held out, for evaluations and exports.
HELD_OUT = 0.5
TRAINING = FinetuneSettings | PretrainSettings | Distillation
RUNNING = CacheTeacherSettings | EvaluateSettings | ExportSettings | ScoreImportanceSettings


def memory_mb(graph: Graph, job: Job, attempt: int = 1) -> int:
    """Return the memory that a job asks for, in MB; more at each attempt, up to three times as much."""
    return min(attempt, MOST_MEMORY) * _memory_mb(graph, job)


def minutes(graph: Graph, job: Job, attempt: int = 1) -> int:
    """Return the time that a job asks for, in minutes; more at each attempt, as far as it may."""
    return min(attempt * _minutes(graph, job), LONGEST.get(job.stage, DAY))


def _memory_mb(graph: Graph, job: Job) -> int:
    settings = job.settings.get("settings")
    shapes = [known(graph.facts[name].shape) for name in _models(graph, job)]
    size = WEIGHT * sum(map(parameters, shapes))
    dataset, processes = _dataset(graph, job), 1
    if isinstance(settings, TRAINING) and dataset:
        processes = max(1, graph.document.gpus)
        size = processes * (size + TRAINED_WEIGHT * parameters(shapes[0]) + encoded_bytes(dataset))
    elif isinstance(settings, RUNNING) and dataset:
        size += encoded_bytes(dataset)
    if isinstance(settings, TRAINING | RUNNING) and dataset:
        size += _activations(settings, shapes[0], dataset.max_length)
    return SNAKEMAKE_MB + processes * STAGE_MB + round(size / 1e6)


def _activations(settings: TRAINING | RUNNING, shape: dict[str, int], length: int) -> int:
    """Return the bytes of the activations that a job keeps at a time."""
    if isinstance(settings, TRAINING):
        given = settings.training.model_dump(exclude_unset=True)
        return activations(shape, given.get("per_device_train_batch_size", 8), length)
    if isinstance(settings, ScoreImportanceSettings):
        return activations(shape, settings.batch_size, length)
    # Without gradients, those of a block are gone when the next one has its own.
    size = activations({**shape, "depth": 1}, settings.eval_batch_size or SCORED_BATCH, length)
    if isinstance(settings, CacheTeacherSettings):
        signals = [*map(Signal.parse, settings.signals), *_mapped(settings, shape["depth"])]
        size += round(CACHED_ROWS * length * token_bytes(signals, shape, length, settings.precision))
    return size


def _mapped(settings: CacheTeacherSettings, depth: int) -> Iterator[Signal]:
    """Yield the signals that layer maps may choose, which name no more than there are."""
    for kind in {kind for entry in settings.maps for kind in entry.kinds}:
        yield from (Signal(kind, place) for place in SIGNAL_KINDS[kind].places(depth))


def _minutes(graph: Graph, job: Job) -> int:
    settings, dataset = job.settings.get("settings"), _dataset(graph, job)
    seconds = 0.0
    if dataset and job.stage in ENCODING:
        seconds += rows_of(dataset) * dataset.max_length / 2 / ENCODED
    if dataset and isinstance(settings, TRAINING | RUNNING):
        document = graph.document
        gpus = document.gpus if isinstance(settings, TRAINING) else min(1, document.gpus)
        speed = gpus * GPU_SPEED or document.threads * THREAD_SPEED
        seconds += _operations(graph, job, dataset) / speed
    return MINUTES + round(seconds / 60)


def _operations(graph: Graph, job: Job, dataset: Dataset) -> float:
    """Return the floating-point operations of a job: two for a token and each weight that it passes."""
    settings, rows = job.settings["settings"], float(rows_of(dataset))
    weights = block_parameters(known(graph.facts[_models(graph, job)[0]].shape))
    if isinstance(settings, TRAINING):
        given = settings.training.model_dump(exclude_unset=True)
        rows = count_steps(given, int(rows)) * examples_of_step(given)
        sizes = len(settings.sparsities) if isinstance(settings, ScheduleSettings) else 1
        weights = LEARNING * sizes * weights + _weights_of_teacher(graph, settings)
    elif isinstance(settings, ScoreImportanceSettings):
        weights *= LEARNING
    elif isinstance(settings, EvaluateSettings | ExportSettings):
        rows *= HELD_OUT
    return 2 * weights * rows * dataset.max_length / 2


def _weights_of_teacher(graph: Graph, settings: TRAINING) -> int:
    """Return the weights that a batch passes of a teacher that runs beside its student; 0 without one."""
    if not isinstance(settings, Distillation) or graph.is_cached(settings):
        return 0
    return block_parameters(known(graph.facts[settings.teacher].shape)) if settings.taught else 0


def _models(graph: Graph, job: Job) -> list[str]:
    """Return the models that a job makes or reads, that which it runs first."""
    folders = [job.folder, *(folder for folders in job.inputs.values() for folder in folders)]
    return [folder.name for folder in folders if folder.parent == graph.layout.model("x").parent]


def _dataset(graph: Graph, job: Job) -> Dataset | None:
    """Return the dataset that a job encodes or reads."""
    name = getattr(job.settings.get("settings"), "dataset", None)
    for encoded in [job.folder] if job.stage == "preprocess" else job.inputs.get("data", ()):
        name = encoded.parent.name
    return graph.datasets[name] if name else None
