"""The metadata of a card: what the Hub reads of a model, as YAML at the beginning of its card."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCardData
from huggingface_hub.repocard import metadata_load

from kdpipe.anatomy.families import HEAD_TASKS, head_kind
from kdpipe.anatomy.formats import TORCH
from kdpipe.cards.chain import Step
from kdpipe.cards.loading import head_folders
from kdpipe.cards.scores import Score
from kdpipe.plan.entries import Dataset
from kdpipe.plan.graph import Graph
from kdpipe.plan.saved.files import CONFIG, read_object
from kdpipe.plan.sources import REPOSITORY_NAME
from kdpipe.plan.stages.card import loaded_card

PIPELINES = {
    "": "feature-extraction",
    "ForCausalLM": "text-generation",
    "ForMaskedLM": "fill-mask",
    "ForQuestionAnswering": "question-answering",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
}
# Sources that read one dataset, and its name on the Hub.
REPOSITORIES = {"glue": "nyu-mll/glue"}
# Our names of metrics that the Hub has, with its names.
METRICS = {
    **{name: name for name in ("accuracy", "exact_match", "f1", "perplexity", "precision", "recall")},
    "f1_macro": "f1",
    "f1_micro": "f1",
    "matthews": "matthews_correlation",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
    "squared_error": "mse",
}
# What a card takes over from the card of the model that was loaded.
INHERITED = ("license", "license_name", "license_link", "language")
DECIMALS = 6


def card_metadata(graph: Graph, model: str, steps: Sequence[Step], scores: Sequence[Score]) -> str:
    """Return the metadata of a finished model as YAML.

    Args:
        graph: the graph.
        model: the model.
        steps: the steps that made it.
        scores: its scores.
    """
    folders = [folder for _, folder in head_folders(graph.layout.model(model))]
    kinds = [head_kind(read_object(folder / CONFIG)) for folder in folders]
    trained_on = dict.fromkeys(name for step in steps for name in step.datasets)
    scores = [score for score in scores if score.format == TORCH]
    metrics = dict.fromkeys(METRICS[score.metric] for score in scores if score.metric in METRICS)
    return ModelCardData(
        model_name=model if scores else None,
        library_name="transformers",
        pipeline_tag=PIPELINES[kinds[0]],
        tags=_tags(graph, steps),
        **_base(graph, model, steps[0]),
        **_inherited(graph, steps[0].model),
        datasets=sorted({hub for name in trained_on for hub in hub_names(graph.datasets[name])}) or None,
        metrics=[*metrics] or None,
        eval_results=[_result(graph.datasets[score.dataset], score, kinds) for score in scores] or None,
    ).to_yaml()


def export_metadata(graph: Graph, model: str) -> str:
    """Return the metadata of an exported model as YAML."""
    [folder, *_] = (folder for _, folder in head_folders(graph.layout.model(model)))
    kind = head_kind(read_object(folder / CONFIG))
    return ModelCardData(library_name="onnx", pipeline_tag=PIPELINES[kind], tags=["kdpipe", "onnx"]).to_yaml()


def hub_names(dataset: Dataset) -> list[str]:
    """Return the repositories of the Hub that a dataset is from, as far as they are known."""
    names = [source.hub or REPOSITORIES.get(source.source, "") for source in dataset.sources]
    return [name for name in dict.fromkeys(names) if REPOSITORY_NAME.fullmatch(name)]


def _tags(graph: Graph, steps: Sequence[Step]) -> list[str]:
    is_pruned = any(graph.stage_of(step.model).cut_from for step in steps)
    is_taught = any(hasattr(graph.nodes[step.model].settings, "teachers") for step in steps)
    return ["kdpipe", *(["distillation"] if is_taught else []), *(["pruning"] if is_pruned else [])]


def _base(graph: Graph, model: str, first: Step) -> dict[str, Any]:
    """Return the model of the Hub that a model was made of, and whether training alone made it."""
    stage, settings = graph.stage_of(first.model), graph.nodes[first.model].settings
    if not stage.exists or stage.folder_read(settings):
        return {}
    is_trained = model != first.model and graph.trained_from(model)[-1] == first.model
    return {"base_model": first.source, **({"base_model_relation": "finetune"} if is_trained else {})}


def _inherited(graph: Graph, model: str) -> dict[str, Any]:
    """Return licence and language from the card of a loaded model, if it has a card that can be read."""
    card = loaded_card(graph, model)
    try:
        told: Mapping[str, Any] = (card and metadata_load(card)) or {}
    except (OSError, ValueError, yaml.YAMLError):
        told = {}
    return {name: told[name] for name in INHERITED if isinstance(told.get(name), str | list)}


def _result(dataset: Dataset, score: Score, kinds: Sequence[str]) -> EvalResult:
    """Return a score as the Hub lists it; of the kinds of heads that a model has, one is for the task."""
    kind = next((kind for kind in kinds if dataset.task in HEAD_TASKS.get(kind, ())), kinds[0])
    [hub] = hub_names(dataset)[:1] or [dataset.name]
    return EvalResult(
        task_type=PIPELINES[kind],
        dataset_type=hub,
        dataset_name=dataset.name,
        dataset_config=dataset.sources[0].configuration if hub != dataset.name else None,
        dataset_split=score.split,
        metric_type=METRICS.get(score.metric, score.metric),
        metric_name=score.metric,
        metric_value=round(score.value, DECIMALS),
    )
