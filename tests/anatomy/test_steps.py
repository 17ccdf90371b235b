"""The optimizer steps of a training."""

import pytest

from kdpipe.anatomy.steps import count_steps, wrong_warmup


def test_the_steps_of_a_run():
    epochs = {"num_train_epochs": 0.5, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    assert count_steps(epochs, examples=12) == 2
    assert count_steps({**epochs, "max_steps": 7}, examples=12) == 7
    assert count_steps({"num_train_epochs": 1e-9}, examples=12) == 1


# Rows of GLUE's training splits, epochs, steps of an epoch and in all.
@pytest.mark.parametrize(("rows", "epochs", "of_an_epoch", "total"), [
    (8551, 30, 267, 8010),
    (2490, 20, 77, 1540),
    (3668, 20, 114, 2280),
    (5749, 20, 179, 3580),
    (67349, 10, 2104, 21040),
    (104743, 5, 3273, 16365),
    (363849, 5, 11370, 56850),
    (392702, 5, 12271, 61355),
], ids=["cola", "rte", "mrpc", "sts-b", "sst-2", "qnli", "qqp", "mnli"])  # fmt: skip
def test_steps_of_marginal_utility_diminishes(rows, epochs, of_an_epoch, total):
    """specs/mud.md, 4.2: batches of 32; the published code drops the short one, which is trained on here."""
    given = {"per_device_train_batch_size": 32}
    assert count_steps({**given, "num_train_epochs": 1}, rows - rows % 32) == of_an_epoch
    assert count_steps({**given, "num_train_epochs": epochs}, rows - rows % 32) == total
    assert count_steps({**given, "num_train_epochs": epochs}, rows) == total + epochs


@pytest.mark.parametrize(("warmup", "steps", "wrong"), [
    (0.5, 10, False), (9, 10, False), (10, 10, True), (0.99, 10, True), (11, 10, True), (3, -1, False),
])  # fmt: skip
def test_a_polynomial_begins_after_the_warmup(warmup, steps, wrong):
    given = {"lr_scheduler_type": "polynomial", "warmup_steps": warmup}
    assert bool(wrong_warmup(given, steps)) == wrong
    assert not wrong_warmup({**given, "lr_scheduler_type": "linear"}, steps)
