"""Kullback-Leibler divergence of the teacher's distribution from the student's."""

import torch
from torch import Tensor

from kdpipe.losses.softened import SoftenedLoss, log_soften


class ReverseKLLoss(SoftenedLoss):
    """KL(student || teacher) of the distributions softened by a temperature.

    The student is drawn to the teacher's likeliest classes, and may forget the others. A class that the
    teacher rules out with a logit of -inf would cost infinitely much; it is left out on both sides.

    Args:
        temperature: divides the logits of both sides; a schedule gives each row its own temperature.
        t_squared: multiply by the squared temperature, which keeps the size of the gradients
            whatever the temperature.

    Regression has no distribution: its loss is the squared difference of the outputs, and neither option has
    an effect.

    Reference:
        Gu et al., MiniLLM (arXiv 2306.08543), there of sequences; Agarwal et al., On-Policy
        Distillation of Language Models (arXiv 2306.13649), section 2.
    """

    def divergence(self, student: Tensor, teacher: Tensor, temperature: float | Tensor) -> Tensor:
        possible = student.masked_fill(teacher.isneginf(), -torch.inf)
        log_student = log_soften(possible, temperature)
        difference = log_student - log_soften(teacher, temperature)
        return (log_student.exp() * difference).sum(-1)
