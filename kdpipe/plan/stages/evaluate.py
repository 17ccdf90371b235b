"""`evaluate`: the scores of a model on a dataset."""

from kdpipe.anatomy.formats import TORCH, model_and_format
from kdpipe.config.settings.base import Settings
from kdpipe.config.settings.bounds import Count
from kdpipe.plan.graph import Graph
from kdpipe.plan.layout import EVALUATIONS
from kdpipe.plan.model_stage import datasets_of
from kdpipe.plan.running import HELD_OUT_SHARE, RunningStage
from kdpipe.plan.stage import HOUR, definition
from kdpipe.plan.stages.preprocess import OF_EVALUATIONS


class EvaluateSettings(Settings):
    """How a model is scored.

    Args:
        seed: seed of the masking, where the task masks tokens.
        probability: share of the tokens that are masked.
        metrics: names of the metrics, by default the metrics of the task; models are chosen by the first.
        longest_answer: tokens of the longest answer to a question.
        no_answer_threshold: by how much the logits of giving no answer may exceed an answer's.
        eval_batch_size: examples that the model runs at once; null for the usual number.
    """

    seed: int = 42
    probability: float = 0.15
    metrics: tuple[str, ...] = ()
    longest_answer: int = 30
    no_answer_threshold: float = 0.0
    eval_batch_size: Count | None = None


class Evaluate(RunningStage[EvaluateSettings]):
    """Score a model on every held-out split of a dataset that can be scored."""

    settings = EvaluateSettings
    wildcards = ("model", "dataset")
    kind = EVALUATIONS
    longest = 3 * HOUR
    share = HELD_OUT_SHARE

    def settings_of(self, graph: Graph, *names: str) -> EvaluateSettings:
        """Return the settings of an evaluation; all have one seed, so that models see the same masks."""
        model, dataset = model_and_format(names[0])[0], names[1]
        options = {name: getattr(graph.datasets[dataset], name) for name in OF_EVALUATIONS}
        seed, batch = graph.document.seed, graph.eval_batch_size(model)
        return EvaluateSettings(seed=seed, eval_batch_size=batch, **options)

    def group(self, graph: Graph, *names: str) -> str | None:
        name, dataset = names
        model, format = model_and_format(name)
        if format != TORCH:
            return definition("export").group(graph, model, format)
        own = datasets_of(graph.nodes[model].settings)
        is_own = dataset in own or dataset in (graph.datasets[name].held_out_of for name in own)
        return graph.stage_of(model).group(graph, model) if is_own else None
