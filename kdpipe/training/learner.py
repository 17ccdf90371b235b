"""A model with what it learns: the module that is optimised."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from kdpipe.data.batches import Batch
from kdpipe.interchange.runs import Interchange, student_runs
from kdpipe.models.multitask import on_dataset
from kdpipe.signals.capture import Origin, Signals
from kdpipe.training.objective import Objective
from kdpipe.training.vocabulary import scaled_sum


class Learner(nn.Module):
    """A model with its objectives: the module that is optimised and saved.

    Args:
        student: the model.
        objectives: the objective of each dataset, by name; of the only dataset by "".
        interchanges: what is swapped in counterfactual runs on a dataset, by its name.
    """

    def __init__(
        self,
        student: Any,
        objectives: Mapping[str, Objective],
        interchanges: Mapping[str, Interchange | None] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.student = student
        self.names = list(objectives)
        self.objectives = nn.ModuleList(objectives.values())
        self.interchanges = interchanges

    def forward(
        self, batch: Batch, signals: Mapping[Origin, Signals], scales: Mapping[str, float]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Run the model and return the loss, and the sum of each loss term.

        Args:
            batch: the batch.
            signals: the signals of the teachers.
            scales: the factor of the sum of each term in the loss.
        """
        name = batch.get("dataset", "")
        objective: Any = self.objectives[self.names.index(name)]
        interchange = self.interchanges.get(name)
        runs = student_runs(on_dataset(self.student, name), batch, objective.runs, interchange)
        ours = {Origin(run=run): found for run, found in runs.items()}
        return scaled_sum(objective, {**signals, **ours}, batch, scales)
