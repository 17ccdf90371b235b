"""What the settings of an interchange say, as the library takes it: sites, and the exchange of a batch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from kdpipe.adapters.targets import COUNTS_FILE
from kdpipe.artifacts.sums import file_digest
from kdpipe.config.settings.interchange import InterchangeSettings
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.targets import Targets
from kdpipe.interchange.batches import Choice, Exchanges
from kdpipe.interchange.runs import Interchange
from kdpipe.models.family import config_shape
from kdpipe.models.loading import read_model_config
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.signals.capture import Origin


def interchanges_of(
    settings: InterchangeSettings | None, teachers: Mapping[Origin, Path], student: Any
) -> dict[Origin, Interchange]:
    """Return what is swapped in each teacher and in the student.

    Args:
        settings: the settings of the interchange.
        teachers: the folders of the teachers.
        student: the student.
    """
    depths = {origin: config_shape(read_model_config(folder))[0] for origin, folder in teachers.items()}
    ours, _ = config_shape(student.config)
    return {
        origin: Interchange(settings.alignment_of(depth, ours), settings.read)
        for origin, depth in depths.items()
        if settings is not None
    }


def exchanges_of(
    settings: InterchangeSettings,
    interchange: Interchange,
    split: EncodedSplit,
    tokenizer: Any,
    counts: Path | None,
    targets: Targets | None,
    seed: int,
) -> Exchanges:
    """Return what chooses sources and positions.

    Args:
        settings: the settings of the interchange.
        interchange: what is swapped.
        split: the examples.
        tokenizer: the tokenizer of both models.
        counts: an artifact of `count_tokens`, for tokens in context.
        targets: which tokens are to be predicted, for language modelling.
        seed: seed of the draws.
    """
    occurrences = pq.read_table(counts / COUNTS_FILE)["count"].to_numpy() if counts else None
    choice = Choice(
        settings.positions, settings.proportion, settings.max_tokens, settings.sources, settings.swap
    )
    return Exchanges(
        split,
        tokenizer.pad_token_id,
        choice,
        [len(entry) for entry in interchange.alignment],
        seed,
        targets,
        tokenizer.all_special_ids,
        occurrences,
    )


def mapping_digests(settings: DistillSettings) -> dict[str, str]:
    """Return the SHA-256 of the file with the alignment, by its path."""
    file = settings.interchange.file if settings.interchange else None
    intervenes = any(lesson.intervenes for lesson in settings.lessons)
    # The stage itself says that a file is missing.
    return {str(file): file_digest(file)} if file and intervenes and file.is_file() else {}
