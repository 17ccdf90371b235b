import pytest
import torch

from kdpipe.errors import KdpipeError, ModelError
from kdpipe.losses.attention_ce import AttentionCELoss
from kdpipe.losses.attention_mse import AttentionMSELoss
from kdpipe.signals.rows import pack


def scores(wave, **options):
    """Return attention scores of all tokens by query [B, L, A, L]."""
    return wave(2, 2, 4, 4, **options).transpose(1, 2)


def probabilities(wave, masked_keys=None):
    """Return the softmaxes that TextBrewer compares; it zeroes the teacher's at keys that look masked."""
    student, teacher = scores(wave).softmax(-1), scores(wave, k=1.3, o=0.5)
    left = teacher > -1e-3 if masked_keys is None else masked_keys
    return student, teacher.softmax(-1) * left


def test_it_matches_textbrewer(wave):
    student, teacher = probabilities(wave)

    rows = AttentionCELoss()(student.flatten(0, 1), teacher.flatten(0, 1), "categorical")

    assert rows.mean().item() == pytest.approx(1.1891235261, abs=1e-9)


def test_it_matches_textbrewer_with_a_mask(wave, real_rows):
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])[:, None, None]
    student, teacher = probabilities(wave, mask)

    rows = AttentionCELoss()(pack(student, real_rows), pack(teacher, real_rows), "categorical")

    assert rows.mean().item() == pytest.approx(1.0792863232, abs=1e-9)


def test_the_mean_over_heads_matches_textbrewer_on_attentions_without_heads(wave):
    student, teacher = wave(2, 4, 4), wave(2, 4, 4, k=1.3, o=0.5)
    sides = student.softmax(-1), teacher.softmax(-1) * (teacher > -1e-3)

    student, teacher = (side.flatten(0, 1)[:, None] for side in sides)

    rows = AttentionCELoss("mean")(student, teacher, "categorical")

    assert rows.mean().item() == pytest.approx(1.2183207013200419, abs=1e-9)


@pytest.mark.parametrize(("masked", "value"), [(False, 1.1143732169), (True, 1.1091778073)])
def test_the_mean_over_heads_matches_textbrewer(wave, real_rows, masked, value):
    """TextBrewer takes the mean over heads of scores, before the softmax, so that one head is left here."""
    student, teacher = (wave(2, 2, 4, 4, **options).mean(1) for options in ({}, {"k": 1.3, "o": 0.5}))
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])[:, None] if masked else teacher > -1e-3
    sides = student.softmax(-1)[:, :, None], (teacher.softmax(-1) * mask)[:, :, None]

    places = real_rows if masked else torch.arange(8)
    rows = AttentionCELoss("mean")(pack(sides[0], places), pack(sides[1], places), "categorical")

    assert rows.mean().item() == pytest.approx(value, abs=1e-9)


def test_means_over_heads_are_compared_of_any_numbers_of_heads(wave):
    student, teacher = wave(4, 2, 5).softmax(-1), wave(4, 3, 5, k=1.3).softmax(-1)

    rows = AttentionCELoss("mean")(student, teacher, "categorical")

    torch.testing.assert_close(rows, -(teacher.mean(1) * student.mean(1).log()).sum(-1))


def test_a_key_that_the_student_does_not_see_costs_a_finite_amount():
    student, teacher = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.5, 0.5]]])

    assert AttentionCELoss()(student, teacher, "categorical").isfinite().all()


@pytest.mark.parametrize("heads", ["each", "mean"])
def test_probabilities_are_compared_as_textbrewer_does(wave, real_rows, heads):
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]], dtype=torch.float64)
    hidden = (1 - mask)[:, None, None] * -1e9
    sides = [(scores(wave, **options) + hidden).softmax(-1) for options in ({}, {"k": 1.3, "o": 0.5})]

    student, teacher = (pack(side, real_rows) for side in sides)
    rows = AttentionCELoss(heads, "textbrewer")(student, teacher, "categorical")

    # Queries are second here [B, L, A, L], and third there [B, A, L, L].
    student, teacher = (side.mean(2, keepdim=True) if heads == "mean" else side for side in sides)
    by_hand = -(teacher.softmax(-1) * student.log_softmax(-1) * mask[:, None, None]).sum(-1) * mask[..., None]
    assert rows.mean().item() == pytest.approx((by_hand.sum() / mask.sum() / by_hand.shape[2]).item())


@pytest.mark.parametrize(("loss_class", "heads"), [(AttentionMSELoss, "avg"), (AttentionCELoss, "sum")])
def test_other_ways_to_compare_heads_are_refused(loss_class, heads):
    with pytest.raises(KdpipeError, match=f"heads: '{heads}' is not known; there is each, .*mean"):
        loss_class(heads)


@pytest.mark.parametrize("loss", [AttentionCELoss(), AttentionMSELoss()])
def test_other_numbers_of_heads_are_refused(wave, loss):
    with pytest.raises(ModelError, match="need equally many heads in a block, found 2 and 3; `heads: mean`"):
        loss(wave(4, 2, 5), wave(4, 3, 5), "categorical")
