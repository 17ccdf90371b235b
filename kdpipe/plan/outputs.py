"""Whether the options of loss terms on logits suit a dataset."""

from kdpipe import catalog
from kdpipe.anatomy.families import LANGUAGE_MODELING, QUESTION_ANSWERING
from kdpipe.config.mistakes import Findings
from kdpipe.config.settings.distillation import Lesson
from kdpipe.config.settings.losses import OutputTermSettings
from kdpipe.declarations import constants
from kdpipe.plan.graph import Graph


def check_outputs(graph: Graph, lesson: Lesson) -> Findings:
    """Yield which terms ask of logits what the logits of a dataset do not have."""
    task = graph.datasets[lesson.dataset].task
    kind = constants(catalog.TASKS[task])["kind"]
    for index, term in lesson.terms:
        if not isinstance(term, OutputTermSettings):
            continue
        place = ("losses", index, "top_k")
        if term.top_k and (kind != "categorical" or task == QUESTION_ANSWERING):
            yield place, f"`top_k` is for several classes, and {task} has none; remove this"
        elif term.top_k and (most := _outputs(graph, lesson)) and term.top_k >= most:
            yield place, f"expected fewer than the {most} outputs of the teacher, found {term.top_k}"
        if term.probability_shift and (why := _unshiftable(graph, lesson, term, kind)):
            yield ("losses", index, "probability_shift"), why


def _outputs(graph: Graph, lesson: Lesson) -> int | None:
    """Return how many outputs the teacher has, as far as the config tells."""
    dataset = graph.datasets[lesson.dataset]
    if dataset.task == LANGUAGE_MODELING:
        return graph.facts[lesson.teacher].shape.vocabulary
    return len(dataset.labels) or None


def _unshiftable(graph: Graph, lesson: Lesson, term: OutputTermSettings, kind: str) -> str:
    """Return why the logit of the label cannot change places with the largest, or nothing."""
    dataset = graph.datasets[lesson.dataset]
    if kind != "categorical":
        return f"`probability_shift` is for several classes, and {dataset.task} has none; remove this"
    if dataset.task != LANGUAGE_MODELING and dataset.unlabelled:
        return f"needs labels, {dataset.name!r} has `labels: none`"
    if term.positions == "all":
        return "needs a label at each position; remove `positions: all`"
    return "needs all logits of the teacher; remove `top_k`" if term.top_k else ""
