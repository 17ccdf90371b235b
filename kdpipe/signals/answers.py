"""A teacher's logits of where answers start and end, on the tokens of a student with another tokenizer."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kdpipe.anatomy.signals import LOGITS
from kdpipe.models.precision import upcast
from kdpipe.signals.capture import Signals
from kdpipe.signals.rows import rows_at


def on_our_tokens(theirs: Signals, matches: Mapping[str, Tensor], batch: Mapping[str, Any]) -> Signals:
    """Return logits of the teacher's tokens as logits of the student's.

    Args:
        theirs: the teacher's logits of its tokens.
        matches: which tokens match, as of `Counterpart.matches`.
        batch: the batch that the student reads.
    """
    windows = len(batch["input_ids"])
    values = matched_logits(theirs[LOGITS].values, matches, windows)
    return {LOGITS: rows_at(values, "tokens", batch)}


def matched_logits(logits: Tensor, matches: Mapping[str, Tensor], windows: int) -> Tensor:
    """Return the logits of starting and ending an answer at our tokens [N, 2].

    A token takes the largest logit of the tokens that it matches. A token without a match is a place where
    their answers cannot start or end, such as the middle of a word; it takes the lowest logit of its window.

    Args:
        logits: the logits of starting and ending an answer at their tokens [M, 2].
        matches: which tokens match, as of `Counterpart.matches`.
        windows: the number of windows.
    """
    logits = upcast(logits)
    columns = []
    for name, column in zip(("starts", "ends"), logits.unbind(-1), strict=True):
        lowest = column.new_full((windows,), torch.inf).scatter_reduce(0, matches["theirs"], column, "amin")
        theirs, ours = matches[name]
        likeliest = column.index_select(0, theirs)
        columns.append(lowest[matches["ours"]].scatter_reduce(0, ours, likeliest, "amax"))
    return torch.stack(columns, dim=-1)
