"""The multiply-adds that follow from config and weights are those that PyTorch counts in a run."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining

import kdpipe
from kdpipe.anatomy.analysis import Analysis, Weight
from kdpipe.anatomy.multiply_adds import USUAL_LENGTH, usual_length
from kdpipe.models.family import family_of
from kdpipe.models.loading import Head
from kdpipe.models.pruned import factorize, prune_units
from kdpipe.plan.saved.analysis import analyze_folder
from tests.models.conftest import KINDS, PRUNABLE, SHAPES, batch_of, tiny
from tests.models.test_analysis import GOLDEN, ranks_of_all

LENGTH = 24


def counted(model: Any, length: int = LENGTH) -> float:
    """Return the multiply-adds that PyTorch counts while a model reads one text."""
    family = family_of(model)
    # PyTorch counts no fused attention of a processor.
    model.eval().requires_grad_(False).set_attn_implementation("eager")
    batch = batch_of(length)
    with FlopCounterMode(display=False) as counter:
        family.run(model, {name: batch[name] for name in family.inputs})
    return float(counter.get_total_flops()) / 2


@pytest.mark.parametrize(("name", "head"), KINDS)
def test_models_with_heads(with_head: Any, name: str, head: Head, tmp_path: Path):
    model = with_head(name, head)
    model.save_pretrained(tmp_path)
    assert kdpipe.analyze(model).multiply_adds(LENGTH) == counted(model) > 0
    assert analyze_folder(tmp_path).multiply_adds(LENGTH) == counted(model)


@pytest.mark.parametrize("name", SHAPES)
def test_bodies(name: str):
    model = tiny(name)
    assert kdpipe.analyze(model).multiply_adds(LENGTH) == counted(model)
    assert kdpipe.analyze(model).multiply_adds(7) == counted(model, 7)


def uneven(stock: Any) -> Any:
    """Return a model that has lost all heads of one place, all neurons of another, and some elsewhere."""
    groups = family_of(stock).groups(stock.base_model)
    counts = {"head": [2, 0, 1, 1, 1], "neuron": [3, 0, 7, 5]}
    units = {
        kind: [torch.arange(n) for n, _ in zip(counts[kind], groups[kind], strict=False)] for kind in groups
    }
    return prune_units(stock, units, ranks_of_all(stock))


@pytest.mark.parametrize(
    ("name", "head"), [pytest.param(*each.values, id=each.id) for each in KINDS if each.values[0] in PRUNABLE]
)
def test_pruned_models(with_head: Any, name: str, head: Head, tmp_path: Path):
    model = uneven(with_head(name, head))
    model.save_pretrained(tmp_path)
    assert analyze_folder(tmp_path).multiply_adds(LENGTH) == counted(model)
    assert counted(model) < counted(with_head(name, head))


@pytest.mark.parametrize("name", ["bert", "gpt2", "distilbert", "electra", "roberta"])
def test_factorized_embeddings_cost_their_map(name: str):
    model = factorize(tiny(name), 4)
    assert kdpipe.analyze(model).multiply_adds(LENGTH) == counted(model)
    assert counted(model) > counted(tiny(name))


def test_untied_outputs_count_as_tied_outputs_do():
    tied, untied = (BertForMaskedLM(BertConfig(**GOLDEN, tie_word_embeddings=tied)) for tied in (True, False))
    assert kdpipe.analyze(tied).multiply_adds(LENGTH) == kdpipe.analyze(untied).multiply_adds(LENGTH)
    assert kdpipe.analyze(untied).multiply_adds(LENGTH) == counted(untied)


def test_weights_that_the_head_does_not_read():
    """Checkpoints of BERT for masked tokens have a pooler and a second head, which kdpipe drops."""
    whole = kdpipe.analyze(BertForPreTraining(BertConfig(**GOLDEN)))
    analysis = Analysis({**whole.config, "architectures": ["BertForMaskedLM"]}, whole.weights)
    assert analysis.multiply_adds(LENGTH) == counted(BertForMaskedLM(BertConfig(**GOLDEN)))


def test_a_family_that_is_not_known():
    analysis = Analysis({"model_type": "mine"}, {"a.weight": Weight(12, 48, shape=(3, 4))})
    assert analysis.multiply_adds(LENGTH) is None
    assert "multiply-adds" not in str(analysis)


def test_a_usual_text_is_no_longer_than_what_the_model_reads():
    assert usual_length({"model_type": "mine"}) == usual_length({"model_type": "bert"}) == USUAL_LENGTH
    assert usual_length({"model_type": "bert", "max_position_embeddings": 32}) == 32
    assert usual_length({"model_type": "enct5", "n_positions": 32}) == USUAL_LENGTH
    tags = {"model_type": "enct5", "n_positions": 32, "architectures": ["EncT5ForTokenClassification"]}
    assert usual_length(tags) == 32
