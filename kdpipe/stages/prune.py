"""Remove the heads and neurons of a model that matter least."""

import logging
from pathlib import Path

from kdpipe.models.loading import load_model, load_tokenizer, save_model
from kdpipe.models.pruned import as_stock, ranks_of
from kdpipe.plan.stages.prune import PruneSettings
from kdpipe.pruning.cut import UniformShape, name_units, prune_to_shape, prune_to_sparsity, ranks_from
from kdpipe.pruning.scores import SCORES, read_scores
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace

LOG = logging.getLogger(__name__)


def run(
    settings: PruneSettings, workspace: Workspace, *, model: Path, importance: Path | None = None
) -> None:
    """Write the smaller model, of the stock class if the class has such shapes and the model no ranking."""
    source = load_model(model)
    ranks = ranks_from(source, read_scores(importance / SCORES)) if importance else None
    drop = settings.compat == "code"
    if settings.sparsity is not None:
        pruned = prune_to_sparsity(source, settings.sparsity, ranks, drop_empty_bias=drop)
    else:
        names = {"intermediate_size": "neurons"}
        shape = UniformShape(**{names.get(name, name): value for name, value in settings.shape.items()})
        pruned = prune_to_shape(source, shape, ranks, drop_empty_bias=drop)
    counts, units = getattr(pruned.config, "unit_counts", None), name_units(pruned)
    for kind, by_place in (counts or {}).items():
        LOG.info("%ss kept in each place: %s", kind, ", ".join(map(str, by_place)))
    with workspace.artifact() as draft:
        # A stock model carries no ranking, which a later cut of a model with a sparsity needs.
        if settings.sparsity is None and ranks_of(source) is None:
            pruned = as_stock(pruned)
        save_model(pruned, load_tokenizer(model), draft.folder)
        draft.record(unit_counts=counts, kept=units)


if __name__ == "__main__":
    main(run)
