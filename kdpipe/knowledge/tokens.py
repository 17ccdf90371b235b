"""Which tokens of a text are chosen: as an attention ranks them, or from the left.

Reference:
    Lu et al. 2021, Marginal Utility Diminishes (arXiv 2106.05691); `main.py` of
    github.com/llyx97/Marginal-Utility-Diminishes, where the first example of a batch says how many separators
    all examples have.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def separators_of(tokenizer: Any) -> tuple[int, ...]:
    """Return the ids of the tokens that end or separate texts."""
    ids = (tokenizer.sep_token_id, tokenizer.eos_token_id)
    return tuple(sorted({token for token in ids if token is not None} - {tokenizer.cls_token_id}))


def ranked_places(
    weights: Tensor | None, batch: Mapping[str, Any], tokens: int | None, separators: Sequence[int] = ()
) -> Tensor:
    """Return the places of the chosen tokens in the flattened batch [N], example by example, the best first.

    A text that has fewer tokens than are asked for gives all. Of equal tokens the first is better.

    Args:
        weights: how much a token counts [B, L]; None where tokens are taken from the left.
        batch: `attention_mask` and `input_ids` [B, L].
        tokens: how many tokens are chosen of a text; None for all.
        separators: ids of tokens that are chosen after all others.
    """
    real = batch["attention_mask"].bool()
    length = real.shape[1]
    if weights is None:
        weights = -torch.arange(length, device=real.device).expand_as(real).float()
    if separators:
        apart = torch.isin(batch["input_ids"], torch.tensor(separators, device=real.device))
        weights = weights.masked_fill(apart, torch.finfo(weights.dtype).min)
    weights = weights.masked_fill(~real, -torch.inf)
    order = weights.argsort(dim=1, descending=True, stable=True)[:, :tokens]
    starts = torch.arange(0, real.numel(), length, device=real.device)[:, None]
    taken = torch.arange(order.shape[1], device=real.device) < real.sum(1, keepdim=True)
    places: Tensor = (starts + order)[taken]
    return places
