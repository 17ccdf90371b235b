"""What the settings of a training say, as the library takes it: losses, and the tokens to predict."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdpipe import catalog
from kdpipe.adapters.targets import targets_of
from kdpipe.config.settings.distillation import EnsembleSettings
from kdpipe.config.settings.losses import TermSettings
from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.config.settings.schedules import TemperatureSettings, WeightSettings
from kdpipe.data.targets import Targets
from kdpipe.evaluation.scoring import head_of
from kdpipe.losses.ensemble import MEAN_LOGITS, Ensemble
from kdpipe.losses.temperature import TemperatureSchedule
from kdpipe.models.compatibility import check_fit
from kdpipe.models.loading import load_tokenizer, load_with_head
from kdpipe.models.multitask import MultiTask, start_for
from kdpipe.training.projection import Projection
from kdpipe.training.run import freeze
from kdpipe.training.terms import Weighted
from kdpipe.training.weights import WeightSchedule

SCHEDULES: Mapping[type, type] = {WeightSettings: WeightSchedule, TemperatureSettings: TemperatureSchedule}
# What terms on some kinds of signals take and others do not.
SHARED = ("layers", "modules", "over_pairs", "top_k", "probability_shift")


def losses_of(terms: Sequence[TermSettings]) -> list[Weighted]:
    """Return the losses of a config."""
    return [_weighted(term) for term in terms]


def ensemble_of(settings: EnsembleSettings | None) -> Ensemble:
    """Return how losses on logits read several teachers as one."""
    return Ensemble(settings.average, settings.weights or ()) if settings else MEAN_LOGITS


def load_learner(
    folder: Path,
    datasets: Mapping[str, Path],
    masking: MaskingSettings,
    counts: Path | None,
    frozen: Sequence[str],
    seed: int,
) -> tuple[Any, Any, Targets | None]:
    """Load a model that trains on encoded datasets, its tokenizer, and the tokens that it predicts, if any.

    Args:
        folder: the folder of the model.
        datasets: the encoded datasets by name; the model has a head for each of several.
        masking: how tokens are masked, for language modelling.
        counts: an artifact of `count_tokens`; not needed if the smoothing is 0.
        frozen: globs of names of parameters that stay as they are.
        seed: seed of a new head and of the masks.
    """
    tokenizer, parts = load_tokenizer(folder), {}
    for name, data in datasets.items():
        check_fit(folder, tokenizer, data)
        parts[name] = load_with_head(start_for(folder, name), head_of(data), seed)
    several = len(parts) > 1
    model = MultiTask(parts) if several else parts[name]
    freeze(model, frozen)
    # Several datasets are for tasks with labels.
    targets = None if several else targets_of(model, tokenizer, data, masking, counts, seed)
    return model, tokenizer, targets


def _schedule(option: Any) -> Any:
    """Return an option of a loss as the library takes it."""
    kind = SCHEDULES.get(type(option))
    return kind(**option.model_dump()) if kind else option


def _weighted(term: TermSettings) -> Weighted:
    options = {name: _schedule(option) for name, option in term.options.items()}
    projection = term.projection_settings
    shared = {name: getattr(term, name) for name in SHARED if hasattr(term, name)}
    return Weighted(
        catalog.resolve("losses", term.loss)(**options),
        _schedule(term.weight),
        positions=term.positions,
        projection=Projection(**projection.model_dump()) if projection else None,
        name=term.loss,
        teacher=term.teacher or "",
        run=term.run,
        **shared,
    )
