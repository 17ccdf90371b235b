"""How much of a model's heads and neurons is gone, and what a sparsity leaves of them."""

import pytest

from kdpipe.anatomy.units import Units, fewest_gone, leaves_fewer


@pytest.mark.parametrize(("whole", "sparsity", "removed"), [
    # A third of 12 are 4, as are 33 % of them.
    (12, 0.33, 0),
    (12, 0.5, 2),
    (12, 0.2, -2),
    (None, 0.5, pytest.approx(1 / 6)),
    (None, 0.33, pytest.approx(-1 / 300)),
])  # fmt: skip
def test_units_are_removed_whole(whole, sparsity, removed):
    assert Units(whole, gone=1 / 3).removed_by(sparsity) == removed


def test_of_what_only_files_tell_nothing_is_gone():
    assert Units(gone=None).removed_by(0.1) == 0.1


def test_what_blocks_hold_bounds_what_is_left():
    assert Units(16, gone=0.5).at_most(4) == Units(16, gone=0.75)
    assert Units(16, gone=0.5).at_most(12).left == 8
    assert Units(16, gone=0.5).at_most(None) == Units(16, gone=0.5)


def test_a_smaller_model_brings_nothing_back():
    assert leaves_fewer(0.5, {"heads": Units(4, 0.5), "neurons": Units(8, 0.25)})
    assert not leaves_fewer(0.5, {"heads": Units(4, 0.5), "neurons": Units(8, 0.5)})
    assert not leaves_fewer(0.5, {"heads": Units(4, 0.75), "neurons": Units(8, 0.25)})


def test_of_several_models_the_least_is_known():
    assert fewest_gone([Units(4, 0.5), Units(4, 0.25)]) == Units(4, 0.25)
    assert fewest_gone([Units(4, 0.5), Units(None, 0.25)]) == Units(None, 0.25)
    assert fewest_gone([Units(4, 0.5), Units(4, None)]) == Units(4, None)
