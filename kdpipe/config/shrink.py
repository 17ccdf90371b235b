"""The same graph in small, to be run before days of computing: where does a config not hold together?

Every matrix variable keeps one value, every training takes two steps, and models that exist already give way
to random ones of their family: as deep, with as many heads, but narrow. Sizes in `prune` shrink as the width
does.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kdpipe import catalog
from kdpipe.config.build import build_graph
from kdpipe.config.entries import Dataset, Node, Shape
from kdpipe.config.families import family_facts, shape_of
from kdpipe.config.graph import Graph
from kdpipe.config.settings.base import AFTERWARDS
from kdpipe.config.settings.create import CreateSettings
from kdpipe.config.settings.dataset import SPLIT_FILES, CombineSettings, SourceSettings
from kdpipe.config.settings.load import LoadSettings
from kdpipe.config.settings.pretrain import PretrainSettings
from kdpipe.config.signatures import constructor_options
from kdpipe.errors import ConfigError, Problem

ROWS = 64
# The rows of a split, so that an epoch is two steps as well.
TRAINING = {"max_steps": 2, "per_device_train_batch_size": ROWS // 2, "eval_steps": 1, "save_steps": 1}
# What follows from a run's length or from the processor it is meant for.
LEFT_OUT = (
    "num_train_epochs",
    "gradient_accumulation_steps",
    "logging_steps",
    "warmup_steps",
    "bf16",
    "fp16",
    "tf32",
    "torch_compile",
)
HEAD_WIDTH = 4
WIDTH = 32
TEXT, TOKENIZER = "shrunk-text", "shrunk-tokenizer"
SCALED = ("intermediate_size", "embedding_rank")


def shrink(
    config: Mapping[str, Any], folder: Path, values: Mapping[str, str]
) -> tuple[dict[str, Any], list[Dataset]]:
    """Return a config's graph in small, and the datasets of it that have to be made up.

    Args:
        config: the config, read and merged.
        folder: takes the results and the data that are made up.
        values: the value that a matrix variable keeps, by default its first.

    Raises:
        ConfigError: the config has mistakes, or a variable has no such value.
    """
    matrix = _one_value_each(config.get("matrix"), values)
    graph = build_graph({**config, "matrix": matrix})
    missing = [name for name, dataset in graph.datasets.items() if _is_missing(dataset)]
    text = {"source": "text", "task": "language_modeling", "path": str(_place(folder, TEXT))}
    small = {key: value for key, value in config.items() if key != "defaults"} | {
        "results": str(folder / "results"),
        "matrix": matrix,
        "datasets": {
            dataset.template: _dataset(dataset, _place(folder, name) if name in missing else None)
            for name, dataset in graph.datasets.items()
        }
        | {TEXT: text},
        "models": dict(_models(graph)),
    }
    datasets = build_graph(small).datasets
    return small, [datasets[name] for name in (*missing, TEXT)]


def _one_value_each(matrix: Any, values: Mapping[str, str]) -> dict[str, Any]:
    """Return a matrix of one block in which every variable has one value."""
    found: dict[str, Any] = {}
    for block in [matrix or {}] if not isinstance(matrix, list) else matrix:
        for variable, given in block.items():
            wanted = values.get(variable)
            kept = [value for value in given if wanted is None or str(value) == wanted][:1]
            if kept and variable not in found:
                found[variable] = {kept[0]: given[kept[0]]} if isinstance(given, Mapping) else kept
    for variable, wanted in values.items():
        if variable not in found:
            raise ConfigError([Problem(f"matrix.{variable}", f"there is no value {wanted!r}")])
    return found


def _place(folder: Path, dataset: str) -> Path:
    # Relative ones would be looked for below `data_dir`.
    return folder.absolute() / "data" / dataset


def _is_missing(dataset: Dataset) -> bool:
    """Tell whether a dataset is read from files, and none of them is there."""
    settings = dataset.settings
    if isinstance(settings, CombineSettings) or not _reads_files(settings):
        return False
    return not any(file.exists() for file in dataset.sources[0].local_files())


def _reads_files(settings: SourceSettings) -> bool:
    return bool({"path", "files"} & constructor_options(catalog.SOURCES[settings.source]).keys())


def _dataset(dataset: Dataset, made_up: Path | None) -> dict[str, Any]:
    """Return the settings of a dataset of few rows, which lies in a folder if it is made up."""
    settings = dataset.settings
    given = settings.model_dump(mode="json", exclude_unset=True, exclude={"rows"})
    if isinstance(settings, CombineSettings):
        return given
    if made_up:
        left = {key: value for key, value in given.items() if key not in (*SPLIT_FILES, "splits", "revision")}
        return {**left, "path": str(made_up)}
    rows = ROWS if _reads_files(settings) else dict.fromkeys(SPLIT_FILES, ROWS)
    return {**given, "rows": rows}


def _models(graph: Graph) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the models, with those that random ones are made of; of each template there is one."""
    architecture = {"family": "bert", **_sizes(shape_of("bert", {"num_hidden_layers": 1}))}
    yield TOKENIZER, {"pretrain": {"dataset": TEXT, "architecture": architecture, **_trained({})}}
    factors: dict[str, int] = {}
    for name, node in graph.nodes.items():
        parents = [parent for _, kind, parent in node.settings.references() if kind == "model"]
        match node.settings:
            case LoadSettings(path=path):
                known = graph.facts[name].shape
                shape = known if known.family else _shape_by_name(path, node)
                factors[name] = _factor(shape)
                yield from _random(node, shape)
            case CreateSettings() | PretrainSettings():
                shape = graph.facts[name].shape
                factors[name] = _factor(shape)
                yield node.template, {node.stage: _small(node, factors[name], shape)}
            case _:
                factors[name] = factors[parents[0]]
                yield node.template, {node.stage: _small(node, factors[name])}


def _random(node: Node, shape: Shape) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a random model in place of one that exists: with a head for tokens, where its family has one."""
    architecture = {"family": shape.family, **_sizes(shape)}
    untrained = {"architecture": architecture, "tokenizer": TOKENIZER, "seed": node.settings.seed}
    heads = family_facts(str(shape.family))["heads"]
    afterwards = node.settings.model_dump(mode="json", include=set(AFTERWARDS), exclude_unset=True)
    if not {"ForMaskedLM", "ForCausalLM"} & heads.keys():
        yield node.template, {"create": untrained | afterwards}
        return
    body = f"{node.template}-untrained"
    yield body, {"create": untrained}
    trained = {"model": body, "dataset": TEXT, "seed": node.settings.seed, **_trained({})}
    yield node.template, {"finetune": trained | afterwards}


def _small(node: Node, factor: int, shape: Shape | None = None) -> dict[str, Any]:
    """Return the settings of a model with sizes and training in small."""
    given = node.settings.model_dump(mode="json", exclude_unset=True)
    if shape is not None:
        given["architecture"] |= _sizes(shape)
    if "training" in type(node.settings).model_fields:
        given |= {"training": _training(given.get("training", {}))}
    return {key: max(1, item // factor) if key in SCALED else item for key, item in given.items()}


def _trained(training: Mapping[str, Any]) -> dict[str, Any]:
    return {"training": _training(training), "evaluate": []}


def _training(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in given.items() if key not in LEFT_OUT} | TRAINING


def _factor(shape: Shape) -> int:
    """Return by how much the width of a model shrinks."""
    return max(1, (shape.width or 0) // (HEAD_WIDTH * shape.heads if shape.heads else WIDTH))


def _sizes(shape: Shape) -> dict[str, int]:
    """Return a narrow model's fields of its transformers config, apart from the vocabulary's size."""
    facts = family_facts(str(shape.family))
    sizes = {
        "depth": shape.depth,
        "width": HEAD_WIDTH * shape.heads if shape.heads else WIDTH,
        "heads": shape.heads,
        "neurons": shape.neurons and max(1, shape.neurons // _factor(shape)),
        "positions": shape.positions and shape.positions + facts["reserved_positions"],
        "prompts": shape.prompts,
    }
    return {name: size for fact, name in facts["shape_fields"].items() if (size := sizes.get(fact))}


def _shape_by_name(path: str, node: Node) -> Shape:
    """Return the shape that models of a family have by default, where only a name on the Hub is known."""
    named = [family for family in catalog.FAMILIES if family in path.lower()]
    if not named:
        what = f"no family is known of {path!r}, which is not fetched yet; give the path of a local folder"
        raise ConfigError([Problem(f"models.{node.template}.load.path", what)])
    return shape_of(max(named, key=len), {})
