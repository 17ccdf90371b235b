"""How large a cache of a teacher's signals may be, as far as a config shows it before it is made."""

from collections.abc import Sequence
from math import ceil

from kdpipe import catalog
from kdpipe.anatomy.families import LANGUAGE_MODELING, QUESTION_ANSWERING, family_facts
from kdpipe.anatomy.knowledge import Share, stored_bytes
from kdpipe.anatomy.shapes import Shape
from kdpipe.anatomy.signals import BYTES, LOGITS, SIGNAL_KINDS, Signal, token_bytes
from kdpipe.declarations import constants
from kdpipe.plan.entries import Dataset
from kdpipe.plan.graph import Graph
from kdpipe.plan.sizes import known
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings

# Bytes of a logit.
LOGIT = 4


def tell_size(graph: Graph, teacher: str, dataset: str, settings: CacheTeacherSettings) -> str:
    """Return in words the most room that a cache takes, by example and for as many as the config names."""
    shape, data = graph.facts[teacher].shape, graph.datasets[dataset]
    what = f"the cache of {teacher}'s signals on {dataset}"
    if shape.depth is None or shape.width is None:
        return f"{what}: its size is known once {teacher} is fetched"
    signals = settings.stored(shape.depth)
    numbers = _most_logits(data, shape, settings) if LOGITS in signals else 0
    parts = settings.selected.shares(shape.depth) if settings.selected else {}
    states = sum(
        _part_bytes(signal, parts[signal], shape, data.max_length, settings)
        if signal in parts
        else _most_rows_of(signal, data, settings) * _row_bytes(signal, shape, data.max_length, settings)
        for signal in signals
    )
    maskings = (settings.masking and settings.masking.fixed) or 1
    example = maskings * (states + LOGIT * (numbers or 0))
    each = f"at most {example / 1e6:.3g} MB an example of {data.max_length} tokens"
    # Sometimes only the data tell how many logits an example has.
    if numbers is None and not states:
        return f"{what}: 4 bytes a logit"
    logits = " and 4 bytes a logit" if numbers is None else ""
    rows, limit = _most_rows(data), graph.document.cache_limit_gb
    if rows is None:
        return f"{what}: {each}{logits}"
    size = rows * example / 1e9
    more = f", which may be more than cache_limit_gb {limit:g}" if size > limit else ""
    return f"{what}: {each}{logits}, {size:.3g} GB{logits} for {rows:,} examples{more}"


def _most_rows_of(signal: Signal, dataset: Dataset, settings: CacheTeacherSettings) -> int:
    """Return the most rows that an example has of a signal."""
    outputs = SIGNAL_KINDS[signal.kind].rows == "task"
    if outputs and dataset.task == LANGUAGE_MODELING:
        return _most_labels(dataset, settings)
    by_token = constants(catalog.TASKS[dataset.task])["positions"] != "examples"
    return dataset.max_length if by_token or not outputs else 1


def _most_labels(dataset: Dataset, settings: CacheTeacherSettings) -> int:
    """Return the most tokens of a text whose logits are stored."""
    share = settings.masking.probability if settings.masking and not settings.positions else 1
    return ceil(share * dataset.max_length)


def _row_bytes(signal: Signal, shape: Shape, length: int, settings: CacheTeacherSettings) -> float:
    """Return the most that a row of a signal takes; logits are counted by themselves."""
    kind, sizes = SIGNAL_KINDS[signal.kind], known(shape)
    shared = shape.family is None or family_facts(shape.family)["heads_share_width"]
    if signal.kind == "module" or (kind.attends and not shared):
        # No module is known to be wider than the feed-forward layers.
        sizes["width"] = max(sizes["width"], sizes["neurons"])
    return 0 if signal == LOGITS else token_bytes([signal], sizes, length, settings.precision)


def _part_bytes(
    signal: Signal, shares: Sequence[Share], shape: Shape, length: int, settings: CacheTeacherSettings
) -> float:
    """Return the most bytes of a signal of which a part is stored, of an example of so many tokens."""
    selected, each = settings.selected, BYTES[settings.precision]
    row = _row_bytes(signal, shape, length, settings)
    whole = selected is None or selected.selection.by_batch or SIGNAL_KINDS[signal.kind].attends
    scheme = None if whole or selected is None else selected.hidden_scheme
    return stored_bytes(shares, scheme, length, ceil(row / each), each, bool(signal.ranked))


def _most_logits(dataset: Dataset, shape: Shape, settings: CacheTeacherSettings) -> int | None:
    """Return the most logits of an example; None where only the data tell how many labels there are."""
    if dataset.task == LANGUAGE_MODELING:
        return _most_labels(dataset, settings) * (shape.vocabulary or 0)
    return {"regression": 1, QUESTION_ANSWERING: 2 * dataset.max_length}.get(dataset.task)


def _most_rows(dataset: Dataset) -> int | None:
    """Return the most training examples of a dataset; None where the config does not say it."""
    # Long texts and contexts are cut into several examples.
    whole = dataset.task not in (LANGUAGE_MODELING, QUESTION_ANSWERING)
    return dataset.most_rows if whole else None
