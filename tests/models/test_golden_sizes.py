"""Numbers of parameters and tensors of models of real sizes, as the specs give them, without weights."""

from math import prod
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from kdpipe.anatomy.units import count_removed
from kdpipe.losses.hidden_mse import HiddenMSELoss
from kdpipe.models.extraction import extract_as
from kdpipe.models.pruned import CLASSES, count_parameters, pruned_config
from kdpipe.training.objective import Objective, Term
from kdpipe.training.projection import Projection
from tests.models.conftest import tiny

UNCHANGED = {"head": [12] * 12, "neuron": [3072] * 12}


def classifier(labels: int = 2, rank: int | None = None, units: Any = None, **shape: Any) -> Any:
    """Return a BERT classifier without weights, of the shape of BERT-base or another shape."""
    options: dict[str, Any] = {**shape, "num_labels": labels}
    stock = transformers.BertConfig(**options)
    with torch.device("meta"):
        if units is None:
            return transformers.BertForSequenceClassification(stock)
        config = pruned_config(stock)
        config.embedding_rank, config.unit_counts = rank, units
        return CLASSES["BertForSequenceClassification"](config)


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def rosita(layers: int, neurons: int, labels: int = 2) -> Any:
    """Return a model of two heads a block, with embeddings of rank 128."""
    units = {"head": [2] * layers, "neuron": [neurons] * layers}
    return classifier(labels, 128, units, num_hidden_layers=layers)


@pytest.mark.parametrize(("layers", "neurons", "labels", "total"), [
    (6, 768, 2, 14_465_282), (6, 768, 3, 14_466_051), (8, 512, 2, 14_474_754),
])  # fmt: skip
def test_rosita(layers: int, neurons: int, labels: int, total: int) -> None:
    """specs/mud.md, 3."""
    assert size(rosita(layers, neurons, labels)) == total


def test_the_parts_of_rosita() -> None:
    """specs/mud.md, 3."""
    model = rosita(6, 768, 3)
    assert size(model.bert.embeddings) == 4_401_408
    assert {size(layer) for layer in model.bert.encoder.layer} == {1_578_624}
    assert size(model.bert.pooler) == 590_592
    assert size(model.classifier) == 769 * 3


def test_bert_and_tinybert() -> None:
    """specs/mud.md, 3; TinyBERT's states are mapped to its teacher's width by one projection."""
    assert size(classifier()) == 109_483_778
    shape = {"hidden_size": 312, "num_hidden_layers": 4, "intermediate_size": 1200}
    tiny_bert = classifier(**shape)
    assert size(tiny_bert) == 14_350_874
    pairs = [(0, 0), (3, 1), (6, 2), (9, 3), (12, 4)]
    term = Term(
        "hidden_mse", HiddenMSELoss(), pairs=pairs, projection=Projection(shared=True), widths=(768, 312)
    )
    objective = Objective([term], "categorical")
    assert size(objective) == 240_384
    assert size(tiny_bert) + size(objective) == 14_591_258


def left(sparsity: float) -> dict[str, list[int]]:
    """Return the numbers of units in each block of BERT-base at a sparsity, spread evenly."""
    totals = {kind: sum(counts) for kind, counts in UNCHANGED.items()}
    kept = {kind: total - count_removed(sparsity, total) for kind, total in totals.items()}
    return {kind: [count // 12 + (block < count % 12) for block in range(12)] for kind, count in kept.items()}


@pytest.mark.parametrize(("sparsity", "heads", "neurons", "millions"), [
    (0.5, 72, 18432, 42.47), (0.6, 58, 14746, 34.05), (0.7, 43, 11059, 25.44), (0.8, 29, 7373, 17.03),
    (0.85, 22, 5530, 12.82), (0.9, 14, 3686, 8.41), (0.95, 7, 1843, 4.21), (0.0, 144, 36864, 84.93),
])  # fmt: skip
def test_minidiscs_sizes_of_bert(sparsity: float, heads: int, neurons: int, millions: float) -> None:
    """specs/minidisc.md, 2.4: heads, neurons, and the weights of the blocks' matrices."""
    units = left(sparsity)
    assert (sum(units["head"]), sum(units["neuron"])) == (heads, neurons)
    blocks = classifier(units=units).bert.encoder
    weights = sum(prod(own.shape) for own in blocks.parameters() if own.dim() == 2)
    assert round(weights / 1e6, 2) == millions


def test_a_tenth_of_bert_has_a_third_of_its_parameters() -> None:
    """specs/minidisc.md, 2.4."""
    assert count_parameters(classifier(units=UNCHANGED), left(0.9)) == 32_905_192


@pytest.mark.parametrize(("without", "copied"), [
    (("vocab_transform", "vocab_layer_norm"), 102), ((), 106),
])  # fmt: skip
def test_tensors_of_an_extraction(without: tuple[str, ...], copied: int) -> None:
    """specs/causal.md, 3: 6 + 16 for each of six blocks, and 4 of the head's transform."""
    teacher = transformers.BertForMaskedLM(tiny("bert", num_hidden_layers=12).config)
    for parameter in teacher.parameters():
        nn.init.constant_(parameter, 7.0)
    student = extract_as("distilbert", teacher, (0, 2, 4, 7, 9, 11), seed=1, without=without)
    # A tied weight has two names.
    tensors = student.state_dict()
    assert len(tensors) == 106
    assert sum(bool((value == 7).all()) for value in tensors.values()) == copied
