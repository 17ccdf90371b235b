"""Names of modules in a config, as far as the weights of a local model rule them out."""

import re
from collections.abc import Sequence

from kdpipe.anatomy.families import family_facts
from kdpipe.config.mistakes import Findings
from kdpipe.config.settings.distillation import Lesson
from kdpipe.config.settings.losses import TermSettings
from kdpipe.errors import suggest
from kdpipe.plan.graph import Graph
from kdpipe.plan.saved.files import read_tensors


def modules_of(term: TermSettings) -> Sequence[tuple[str, str]]:
    """Return the (teacher, student) names of modules that a term compares, if it does."""
    return getattr(term, "modules", None) or ()


def wrong_modules(graph: Graph, lesson: Lesson) -> Findings:
    """Yield which names of modules the models of a distillation cannot have."""
    models = lesson.teacher, lesson.learner
    for index, term in lesson.terms:
        for number, pair in enumerate(modules_of(term)):
            for side, (model, name) in enumerate(zip(models, pair, strict=True)):
                if fault := _fault(graph, model, name):
                    yield ("losses", index, "modules", number, side), f"{model!r} has no {name!r}; {fault}"


def _fault(graph: Graph, model: str, name: str) -> str:
    """Return what to do about a name that no module of a model's body has; "" where one may have it."""
    shape = graph.facts[model].shape
    if shape.family is None:
        return ""
    facts, first = family_facts(shape.family), name
    blocks = facts["block_list"]
    if block := re.match(rf"{re.escape(blocks)}\.(\d+)(?=\.|$)", name):
        if shape.depth is not None and int(block[1]) >= shape.depth:
            return f"its blocks are {blocks}.0 to {blocks}.{shape.depth - 1}"
        # Blocks are alike, and a file may have fewer or more than the model.
        first = f"{blocks}.0{name[block.end() :]}"
    # A file may lack these modules, and a model made of the file have them.
    if name.startswith(tuple(facts["optional"])):
        return ""
    names = _named_by_weights(graph, model)
    return suggest(name, names) if names and _ruled_out(first, names) else ""


def _named_by_weights(graph: Graph, model: str) -> frozenset[str]:
    """Return the modules that the weights name of the loaded model that a model is made of, if any."""
    if model not in graph.nodes:
        return frozenset()
    family, origin = graph.facts[model].shape.family, model
    while made_of := set(graph.stage_of(origin).sized_by(graph.nodes[origin].settings)):
        origin = made_of.pop()
        if made_of or graph.facts[origin].shape.family != family:
            return frozenset()
    folder = graph.stage_of(origin).folder_read(graph.nodes[origin].settings)
    if folder is None:
        return frozenset()
    prefix, *_ = family_facts(str(family))["body"]
    named = [name.removeprefix(prefix).split(".")[:-1] for name in read_tensors(folder[1])]
    return frozenset(".".join(parts[:end]) for parts in named for end in range(1, len(parts) + 1))


def _ruled_out(name: str, names: frozenset[str]) -> bool:
    """Tell whether no module can have a name; modules without parameters are in no file."""
    parent, _, child = name.rpartition(".")
    if name in names:
        return False
    listed = child.isdecimal() and f"{parent}.0" in names
    return listed or bool(parent and parent not in names)
