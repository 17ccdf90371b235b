"""Which jobs share one job of a cluster: short ones join the training that they come before or after.

A group must not need what depends on a part of it, or its jobs wait for each other. It is a chain: Snakemake
adds up the processors of those that could run at once, so that models are exported by jobs of their own.
"""

from collections.abc import Mapping

from kdpipe.plan.graph import Graph

TRAINED = ("finetune", "distill", "schedule")
SHORT = ("create", "extract", "prune")
# Settings that name what a training starts from. A teacher is cached, a model to be pruned scored in between.
STARTED_FROM = ("model", "student")


def group_of(graph: Graph, wildcards: Mapping[str, str]) -> str | None:
    """Return the name of the group that a job belongs to; None if it is submitted alone.

    Args:
        graph: the graph.
        wildcards: those of its rule: the model that is made or scored, and the dataset if there is one.
    """
    model = wildcards["model"]
    settings = graph.nodes[model].settings
    # A pretrained model is scored by a job of its own: the data is encoded with its tokenizer in between.
    if wildcards.get("dataset") not in (None, getattr(settings, "dataset", None)):
        return None
    trained = _trained_with(graph, model)
    return f"train-{trained}" if trained else None


def _trained_with(graph: Graph, model: str) -> str | None:
    """Return the model whose training's job makes a model: itself, or the only one that starts from it."""
    stage = graph.nodes[model].stage
    if stage in TRAINED:
        return model
    users = graph.users[model]
    if stage not in SHORT or len(users) != 1:
        return None
    [(user, field)] = users
    return user if graph.nodes[user].stage in TRAINED and field in STARTED_FROM else None
