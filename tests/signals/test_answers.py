"""Logits of starts and ends of answers on the tokens of another tokenizer."""

import torch

from kdpipe.signals.answers import matched_logits
from tests.tolerance import assert_close

# Two windows. They read [CLS] a b c d | [CLS] e f, we read [CLS] q ab c d | [CLS] e f g: `a` and `b` make one
# token of ours, and nothing of theirs starts at `q` or `g`.
MATCHES = {
    "theirs": torch.tensor([0, 0, 0, 0, 0, 1, 1, 1]),
    "ours": torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1]),
    "starts": torch.tensor([[0, 5, 1, 2, 3, 4, 6, 7], [0, 5, 2, 2, 3, 4, 6, 7]]),
    "ends": torch.tensor([[0, 5, 1, 2, 3, 4, 6, 7], [0, 5, 2, 2, 3, 4, 6, 7]]),
}


def test_a_token_takes_the_largest_logit_of_its_matches_and_without_one_the_lowest() -> None:
    starts = torch.tensor([9.0, 1, 3, -2, 5, 7, 4, -1])
    made = matched_logits(torch.stack([starts, -starts], dim=-1), MATCHES, 2)
    assert made[:, 0].tolist() == [9, -2, 3, -2, 5, 7, 4, -1, -1]
    assert made[:, 1].tolist() == [-9, -9, -1, 2, -5, -7, -4, 1, -7]


def test_half_precision_becomes_float32() -> None:
    logits = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    made = matched_logits(logits.bfloat16(), MATCHES, 2)
    assert made.dtype == torch.float32
    assert_close(made, matched_logits(logits.bfloat16().float(), MATCHES, 2))
