import torch
from torch.nn import functional

from kdpipe.losses.hard import HardLoss


def test_categorical_is_the_negative_log_likelihood_of_the_label(wave):
    logits, labels = wave(3, 4), torch.tensor([0, 3, 2])

    rows = HardLoss()(logits, labels, "categorical")

    torch.testing.assert_close(rows, -functional.log_softmax(logits, -1)[range(3), labels])


def test_binary_averages_over_the_labels():
    logits, labels = torch.tensor([[0.0, 0.0], [100.0, -100.0]]), torch.tensor([[1, 0], [1, 1]])

    rows = HardLoss()(logits, labels, "binary")

    torch.testing.assert_close(rows, torch.tensor([torch.tensor(2.0).log(), 50.0]))


def test_regression_pairs_each_row_with_its_label():
    outputs, labels = torch.tensor([[1.0], [2.0], [5.0]]), torch.tensor([1.0, 4.0, 2.0])

    assert HardLoss()(outputs, labels, "regression").tolist() == [0.0, 4.0, 9.0]
