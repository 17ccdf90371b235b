"""Give a model int8 weights."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from kdpipe.data.batches import Batch, Collator
from kdpipe.data.encoded import EncodedSplit, validation_split
from kdpipe.data.sampling import batches_by_length
from kdpipe.data.source import TRAIN
from kdpipe.errors import DataError
from kdpipe.evaluation.scoring import head_of, padding_id, score
from kdpipe.evaluation.task import BATCH_SIZE, AnswerLimits
from kdpipe.metrics import LOWER_IS_BETTER
from kdpipe.models.compatibility import check_fit
from kdpipe.models.int8 import quantizable
from kdpipe.models.loading import load_frozen, load_tokenizer, save_model
from kdpipe.plan.stages.evaluate import EvaluateSettings
from kdpipe.plan.stages.quantize import QuantizeSettings
from kdpipe.quantization.calibration import input_scales
from kdpipe.quantization.layers import quantize
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace
from kdpipe.seeds import ORDER, draw_seed

LOG = logging.getLogger(__name__)


def run(
    settings: QuantizeSettings,
    scoring: EvaluateSettings,
    workspace: Workspace,
    *,
    model: Path,
    data: Path | None = None,
) -> None:
    """Round weights to int8, and leave layers in float where the score would fall too far."""
    scores = data is not None and settings.tolerance is not None
    source = load_frozen(model, head_of(data) if data and scores else None, torch.device("cpu"))
    tokenizer = load_tokenizer(model)
    if data:
        check_fit(model, tokenizer, data)
    batches = list(_batches(data, settings, source, tokenizer)) if data else []
    layers = quantizable(source)
    scales = input_scales(source, layers, batches) if settings.method == "static" else None
    found = quantize(
        source,
        batches,
        per_channel=settings.per_channel,
        scales=scales,
        score=_scorer(data, scoring, tokenizer) if data and scores else None,
        tolerance=settings.tolerance or 0.0,
    )
    for name in found.kept:
        told = "%s stays in float: alone it moves the outputs by %.2g of their size"
        LOG.warning(told, name, found.costs[name])
    LOG.info("%d of %d layers have int8 weights", len(layers) - len(found.kept), len(layers))
    with workspace.artifact() as draft:
        save_model(found.model, tokenizer, draft.folder)
        draft.record(kept=list(found.kept), score_before=found.before, score_after=found.after)


def _batches(
    data: Path, settings: QuantizeSettings, model: PreTrainedModel, tokenizer: Any
) -> Iterator[Batch]:
    """Yield batches of examples of the training split, drawn by the seed."""
    split = EncodedSplit(data, TRAIN)
    rng = np.random.default_rng(draw_seed(settings.seed, ORDER, 0))
    chosen = np.sort(rng.permutation(len(split))[: settings.calibration.rows])
    collator = Collator(split, padding_id(model, tokenizer))
    for places in batches_by_length(split.lengths[chosen], BATCH_SIZE):
        yield collator(chosen[places].tolist())


def _scorer(data: Path, scoring: EvaluateSettings, tokenizer: Any) -> Callable[[PreTrainedModel], float]:
    """Return what scores a model on the validation split by the first metric; more is better."""
    split = validation_split(data)
    if split is None:
        raise DataError(
            f"{data} has no validation split with labels, by which `tolerance` goes; give it one, name "
            "another dataset in `calibration`, or give `tolerance: null`"
        )
    [metric, *_] = scoring.metrics
    sign = -1 if metric in LOWER_IS_BETTER else 1

    def scored(model: PreTrainedModel) -> float:
        evaluation = score(
            model,
            tokenizer,
            split,
            seed=scoring.seed,
            metrics=[metric],
            answers=AnswerLimits(scoring.longest_answer, scoring.no_answer_threshold),
            batch_size=scoring.eval_batch_size,
        )
        LOG.info("%s on the validation split: %.4f", metric, evaluation.metrics[metric])
        return sign * evaluation.metrics[metric]

    return scored


if __name__ == "__main__":
    main(run)
