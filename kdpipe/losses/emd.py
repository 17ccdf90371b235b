"""Every block of the student learns from every block of the teacher, as far as they are alike."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linprog
from torch import Tensor, nn
from torch.nn import functional

from kdpipe.errors import TrainingError
from kdpipe.losses.loss import Loss, OutputKind
from kdpipe.models.precision import upcast

# A block that costs nothing would get all the weight.
CHEAPEST = 1e-6


class EMDLoss(Loss):
    """Earth mover's distance between the blocks of student and teacher, by their hidden states.

    The cost of a student's block and a teacher's block is the mean squared difference of their hidden states
    over the micro-batch of one process. The cheapest flow from the weights of the student's blocks to the
    weights of the teacher's blocks says how much each cost counts. All blocks weigh the same at first.

    Args:
        update: after each micro-batch, and each size of a student that is trained in several sizes, weigh a
            block by the inverse of what its share of the flow has cost.

    Reference:
        Li et al., BERT-EMD (arXiv 2010.06133), section 3, without its part on attentions; the update as in
        commit 634df29 of lxk00/BERT-EMD, where other commits take a softmax. `EMDDistiller` in the examples
        of airaria/TextBrewer has no update.
    """

    student_kinds = ("hidden_states",)
    teacher_kinds = ("hidden_states",)
    states = "all"
    same_width = True

    def __init__(self, update: bool = True) -> None:
        self.update = update
        self._blocks = nn.Module()

    def begin(self, teacher: int, student: int) -> nn.Module:
        """Give the same weight to each block of a model, and return the weights; arguments as of `Loss`."""
        self._blocks.register_buffer("teacher", torch.full((teacher,), 1 / teacher))
        self._blocks.register_buffer("student", torch.full((student,), 1 / student))
        return self._blocks

    def __call__(self, student: Sequence[Tensor], target: Sequence[Tensor], kind: OutputKind) -> Tensor:
        """Return the distance of each row [N] from the states of all blocks [N, H]."""
        ours, theirs = [upcast(state) for state in student], [upcast(state) for state in target]
        rows = ours[0].new_zeros(len(ours[0]))
        if not len(rows):
            return rows + 0 * ours[0].sum(-1)
        costs = _costs(ours, theirs)
        flow = best_flow(costs, self._weights("student"), self._weights("teacher"))
        if self.update:
            self._weigh("student", (flow * costs).sum(1))
            self._weigh("teacher", (flow * costs).sum(0))
        for place in np.argwhere(flow):
            i, j = place.tolist()
            rows = rows + float(flow[i, j]) * (ours[i] - theirs[j]).square().mean(-1)
        return rows

    def _weights(self, side: str) -> NDArray[np.float64]:
        weights: NDArray[np.float64] = self._blocks.get_buffer(side).double().cpu().numpy()
        weights /= weights.sum()
        return weights

    def _weigh(self, side: str, cost: NDArray[np.float64]) -> None:
        """Weigh each block of a side by the inverse of what a unit of its weight has cost."""
        unit = cost / self._weights(side)
        if unit.max() > 0:
            inverse = 1 / unit.clip(min=CHEAPEST * unit.max())
            self._blocks.get_buffer(side).copy_(torch.from_numpy(inverse / inverse.sum()))


@torch.no_grad()
def _costs(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> NDArray[np.float64]:
    """Return the mean squared difference of each of the student's states and each of the teacher's."""
    costs = torch.stack([functional.mse_loss(ours, theirs) for ours in student for theirs in teacher])
    return costs.double().cpu().numpy().reshape(len(student), len(teacher))


def best_flow(
    costs: NDArray[np.float64], supply: NDArray[np.float64], demand: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how much flows from each source to each sink, at the least total cost.

    Args:
        costs: cost of a unit from each source to each sink [S, T].
        supply: what each source has [S], which sums to 1.
        demand: what each sink takes [T], which sums to 1.

    Raises:
        TrainingError: there is no such flow, because the costs are not finite.
    """
    sources, sinks = costs.shape
    balances = np.vstack((np.kron(np.eye(sources), np.ones(sinks)), np.kron(np.ones(sources), np.eye(sinks))))
    # The last balance follows from the others.
    solution = None
    if np.isfinite(costs).all():
        solution = linprog(costs.ravel(), A_eq=balances[:-1], b_eq=np.concatenate((supply, demand))[:-1])
    if solution is None or solution.x is None:
        raise TrainingError(
            "emd: the states of student and teacher are too far apart, or not finite; lower the learning rate"
        )
    flow: NDArray[np.float64] = solution.x.reshape(costs.shape)
    return flow
