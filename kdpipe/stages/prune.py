"""Remove the heads and neurons of a model that matter least."""

import logging
from pathlib import Path

from transformers import PreTrainedModel

from kdpipe.models.loading import load_tokenizer
from kdpipe.models.multitask import load_parts, save_parts
from kdpipe.models.pruned import as_stock, ranks_of
from kdpipe.plan.stages.prune import PruneSettings
from kdpipe.pruning.criterion import Scores
from kdpipe.pruning.cut import UniformShape, name_units, prune_to_shape, prune_to_sparsity, ranks_from
from kdpipe.pruning.scores import scores_of
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace

LOG = logging.getLogger(__name__)


def run(
    settings: PruneSettings, workspace: Workspace, *, model: Path, importance: list[Path] | None = None
) -> None:
    """Write the smaller model, of the stock class if the class has such shapes and the model no ranking."""
    scores, sources = scores_of(importance) if importance else None, load_parts(model)
    parts = {name: _pruned(settings, source, scores) for name, source in sources.items()}
    # Models with several heads share a body.
    (source, *_), (pruned, *_) = sources.values(), parts.values()
    counts, units = getattr(pruned.config, "unit_counts", None), name_units(pruned)
    for kind, by_place in (counts or {}).items():
        LOG.info("%ss kept in each place: %s", kind, ", ".join(map(str, by_place)))
    with workspace.artifact() as draft:
        # A stock model carries no ranking, which a later cut of a model with a sparsity needs.
        if settings.sparsity is None and ranks_of(source) is None:
            parts = {name: as_stock(part) for name, part in parts.items()}
        save_parts(parts, load_tokenizer(model), draft.folder)
        draft.record(unit_counts=counts, kept=units)


def _pruned(settings: PruneSettings, source: PreTrainedModel, scores: Scores | None) -> PreTrainedModel:
    ranks = ranks_from(source, scores) if scores else None
    drop = settings.compat == "code"
    if settings.sparsity is not None:
        return prune_to_sparsity(source, settings.sparsity, ranks, drop_empty_bias=drop)
    names = {"intermediate_size": "neurons"}
    shape = UniformShape(**{names.get(name, name): value for name, value in settings.shape.items()})
    return prune_to_shape(source, shape, ranks, drop_empty_bias=drop)


if __name__ == "__main__":
    main(run)
