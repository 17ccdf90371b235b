"""`select`: a copy of the best of several models."""

from kdpipe.config.settings.base import DatasetName, ModelNames, StageSettings


class SelectSettings(StageSettings):
    """The choice of a model by its evaluation.

    Args:
        among: the candidates.
        dataset: the dataset they are compared on.
        metric: the metric that decides; by default the first that the dataset has.
        split: the split that decides.
    """

    among: ModelNames
    dataset: DatasetName
    metric: str | None = None
    split: str = "validation"
