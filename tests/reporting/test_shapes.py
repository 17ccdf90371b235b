from kdpipe.plan.graph import Graph
from kdpipe.reporting.shapes import LayerCounts, pruned_shapes


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
