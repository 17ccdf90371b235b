import pytest
import torch

from kdpipe.errors import ModelError
from kdpipe.losses.attention_mse import AttentionMSELoss
from kdpipe.signals.rows import pack


def attentions(wave, **options):
    """Return attentions of all tokens by query [B, L, A, L]."""
    return wave(2, 2, 4, 4, **options).transpose(1, 2)


def test_it_matches_textbrewer(wave):
    """Without a mask, TextBrewer takes what is below -0.001 for masked out."""
    sides = attentions(wave), attentions(wave, k=1.3, o=0.5)
    student, teacher = (own.where(own > -1e-3, 0.0) for own in sides)

    rows = AttentionMSELoss()(student.flatten(0, 1), teacher.flatten(0, 1), "categorical")

    assert rows.sum().item() / (2 * 4 * 4) == pytest.approx(0.2914590269, abs=1e-9)


def test_it_matches_textbrewer_with_a_mask(wave, real_rows):
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])[:, None, None]
    student, teacher = (own * mask for own in (attentions(wave), attentions(wave, k=1.3, o=0.5)))

    rows = AttentionMSELoss()(pack(student, real_rows), pack(teacher, real_rows), "categorical")

    assert rows.sum().item() / (3**2 + 2**2) == pytest.approx(0.5483504771, abs=1e-9)


def test_sums_over_heads_match_textbrewer(wave, real_rows):
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])[:, None, None]
    student, teacher = (own * mask for own in (attentions(wave), attentions(wave, k=1.3, o=0.5)))

    rows = AttentionMSELoss("sum")(pack(student, real_rows), pack(teacher, real_rows), "categorical")

    assert rows.sum().item() / (3**2 + 2**2) == pytest.approx(1.8490544499, abs=1e-9)


def test_sums_over_heads_match_textbrewer_without_a_mask(wave):
    """TextBrewer takes sums below -0.001 for masked out."""
    sums = (own.sum(2, keepdim=True) for own in (attentions(wave), attentions(wave, k=1.3, o=0.5)))
    student, teacher = (own.where(own > -1e-3, 0.0) for own in sums)

    rows = AttentionMSELoss("sum")(student.flatten(0, 1), teacher.flatten(0, 1), "categorical")

    assert rows.sum().item() / (2 * 4 * 4) == pytest.approx(0.7036148334, abs=1e-9)


def test_means_over_heads_are_compared_of_any_numbers_of_heads(wave):
    student, teacher = wave(4, 2, 5), wave(4, 3, 5, k=1.3)

    rows = AttentionMSELoss("mean")(student, teacher, "categorical")

    torch.testing.assert_close(rows, (student.mean(1) - teacher.mean(1)).square().sum(-1))


def test_other_numbers_of_heads_are_refused(wave):
    with pytest.raises(ModelError, match="need equally many heads in a block, found 2 and 3"):
        AttentionMSELoss()(wave(4, 2, 5), wave(4, 3, 5), "categorical")
