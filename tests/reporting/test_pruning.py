from typing import Any

import pytest

from kdpipe.plan.graph import Graph
from kdpipe.reporting.pruning import LayerCounts, importance_maps, pruned_shapes
from tests.reporting.conftest import pruning_config


def test_a_figure_per_scoring(pruning: Graph):
    """MiniDisc of every seed and the assistants of MaxiDisc share one scoring."""
    (figure,) = importance_maps(pruning)
    assert figure.title == "teacher on mrpc: mask_gradient"
    assert figure.note == "train, at most 64 batches of 32, by batch, seed 42"


def test_heads_by_layer(pruning: Graph):
    """A layer without heads has an empty row."""
    heads, _ = next(iter(importance_maps(pruning))).maps
    assert heads.columns == ("0", "1")
    assert heads.rows == ((0.2, 0.8), ())
    assert heads.largest == 0.8


def test_neurons_by_quantile(pruning: Graph):
    """The order of the neurons does not matter; the second layer has half the scores of the first."""
    _, neurons = next(iter(importance_maps(pruning))).maps
    first, second = map(list, neurons.rows)
    assert len(first) == 10
    assert first == sorted(first)
    assert first[-1] == neurons.largest
    assert second == pytest.approx([value / 2 for value in first])


def test_criteria_that_read_nothing_name_no_split(make_results: Any, tmp_path: Any):
    config = pruning_config(tmp_path)
    config["models"] = {name: config["models"][name] for name in ("base", "teacher", "narrow")}
    config["models"]["narrow"]["prune"]["importance"] = {"criterion": "magnitude", "seed": 7}
    (figure,) = importance_maps(make_results(config))
    assert figure.note == "seed 7"


def test_pruned_models_and_assistants_have_a_shape(pruning: Graph):
    assert list(pruned_shapes(pruning)) == [
        "assistant-{seed}",
        "init-{seed}",
        "ta-init-0.6",
        "ta-init-0.8",
        "maxi-init-0.6",
        "maxi-init-0.8",
        "narrow",
    ]


def test_runs_are_averaged_layer_by_layer(pruning: Graph):
    """The teacher has 2 heads and 8 neurons in each layer."""
    assert pruned_shapes(pruning)["assistant-{seed}"] == [
        LayerCounts("heads", (2, 0.5), 2),
        LayerCounts("neurons", (3, 0), 8),
    ]


def test_a_model_saved_as_stock_is_measured_by_its_source(pruning: Graph):
    assert pruned_shapes(pruning)["narrow"] == [
        LayerCounts("heads", (2, 2), 2),
        LayerCounts("neurons", (4, 4), 8),
    ]
