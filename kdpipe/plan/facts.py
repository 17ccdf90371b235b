"""What follows from a config about its models before any of them exists."""

from collections.abc import Iterable, Mapping

from kdpipe.config.document import Document
from kdpipe.config.mistakes import Mistakes, SettingError
from kdpipe.plan.entries import UNKNOWN, Dataset, Facts, Node
from kdpipe.plan.stage import Known, model_stages


def work_out_facts(
    nodes: Mapping[str, Node],
    names: Iterable[str],
    datasets: Mapping[str, Dataset],
    document: Document,
    mistakes: Mistakes,
) -> dict[str, Facts]:
    """Return what is known of each model.

    Args:
        nodes: the models without mistakes, each after those it is made from.
        names: the names of all models.
        datasets: datasets by name.
        document: the config.
        mistakes: takes what is wrong.
    """
    known, stages = Known(dict.fromkeys(names, UNKNOWN), datasets), model_stages()
    for name, node in nodes.items():
        try:
            known.facts[name] = stages[node.stage].facts(name, node.settings, known)
        except SettingError as error:
            where = document.place(node.template, node.stage, (error.setting,))
            mistakes.add(where, str(error), name)
    return known.facts
