"""Extracted students have copies of the model's tensors; other tensors are drawn or dropped as published."""

from pathlib import Path

import pytest
import torch
from transformers import BertForMaskedLM, BertForPreTraining

from kdpipe.anatomy.signals import Signal
from kdpipe.errors import ModelError
from kdpipe.models.extraction import extract_as, extract_blocks
from kdpipe.models.families.distilbert import DistilBert
from kdpipe.models.family import family_of
from kdpipe.models.loading import Head, load_model
from kdpipe.signals.capture import Request, capture
from tests.models.conftest import HEADS, KINDS, batch_of, logits_of, tiny
from tests.tolerance import assert_close

VOCAB_TRANSFORM = ("vocab_transform", "vocab_layer_norm")


@pytest.mark.parametrize(("name", "head"), KINDS)
def test_blocks_of_the_same_family_are_copies(name: str, head: Head, with_head) -> None:
    model = with_head(name, head)
    student = extract_blocks(model, [2, 0])
    assert type(student) is type(model)
    family = family_of(model)
    theirs, ours = family.blocks(student.base_model), family.blocks(model.base_model)
    assert len(theirs) == 2
    copied = set()
    for place, block in ((0, 2), (1, 0)):
        for key, value in theirs[place].state_dict().items():
            # T5's first block has the table of relative positions for all blocks.
            source = 0 if key.endswith("relative_attention_bias.weight") else block
            assert torch.equal(value, ours[source].state_dict()[key]), key
            copied.add(id(theirs[place].get_parameter(key)))
    weights = dict(model.named_parameters())
    for key, value in student.named_parameters():
        assert id(value) in copied or torch.equal(value, weights[key]), key


@pytest.mark.parametrize(("name", "head"), KINDS)
def test_all_blocks_give_the_same_outputs(name: str, head: Head, with_head) -> None:
    model, batch = with_head(name, head), batch_of(7, 4)
    student = extract_blocks(model, [0, 1, 2]).eval()
    ours, theirs = (logits_of(one, batch) for one in (model, student))
    assert_close(ours, theirs)
    assert student.config.id2label == model.config.id2label


def test_extraction_leaves_the_global_generator_alone() -> None:
    model = tiny("bert")
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    extract_blocks(model, [0])
    extract_as("distilbert", model, [0], seed=0)
    assert torch.equal(torch.rand(1), expected)


def test_distilbert_has_the_models_tensors_in_its_own_places(language_model: Path) -> None:
    model = load_model(language_model)
    student = extract_as("distilbert", model, [1, 3], seed=0)
    ours, theirs = model.state_dict(), student.state_dict()
    for place, block in enumerate((1, 3)):
        for target, source in DistilBert.copied_from["bert"]["block"].items():
            for kind in ("weight", "bias"):
                copied = theirs[f"distilbert.transformer.layer.{place}.{target}.{kind}"]
                assert torch.equal(copied, ours[f"bert.encoder.layer.{block}.{source}.{kind}"])
    assert torch.equal(
        theirs["distilbert.embeddings.word_embeddings.weight"], ours["bert.embeddings.word_embeddings.weight"]
    )
    assert torch.equal(theirs["vocab_projector.bias"], ours["cls.predictions.bias"])
    assert student.vocab_projector.weight is student.distilbert.embeddings.word_embeddings.weight


@pytest.mark.parametrize("blocks", [[0], [0, 2], [0, 1, 2, 3]])
def test_the_number_of_copied_tensors_is_the_published_one(language_model: Path, blocks: list[int]) -> None:
    model = load_model(language_model)
    ours = {value.numpy().tobytes() for value in model.state_dict().values() if value.std() > 0}
    with_transform = extract_as("distilbert", model, blocks, seed=0)
    without = extract_as("distilbert", model, blocks, seed=0, without=VOCAB_TRANSFORM)
    # 6 + 16 per block, and 4 of the transform: Causal-Distill's extract_distilbert.py.
    assert len(with_transform.state_dict()) == 6 + 16 * len(blocks) + 4
    changed = [
        name
        for name, value in with_transform.state_dict().items()
        if not torch.equal(value, without.state_dict()[name])
    ]
    # New norms and biases equal the norms and biases of an untrained model; the new matrix does not.
    assert changed == ["vocab_transform.weight"]
    assert with_transform.state_dict()["vocab_transform.weight"].numpy().tobytes() in ours


def test_distilbert_gives_what_a_bert_without_token_types_gives() -> None:
    model, batch = tiny("bert"), batch_of(6, 9)
    torch.nn.init.zeros_(model.embeddings.token_type_embeddings.weight)
    student = extract_as("distilbert", model, [0, 1, 2], seed=0).eval()
    last = Signal("hidden_states", 3)
    ours, theirs = (capture(one, batch, Request((last,)))[last].values for one in (model, student))
    assert_close(ours, theirs)


def test_a_classifier_keeps_head_and_labels(classifier: Path) -> None:
    model = load_model(classifier)
    student = extract_as("distilbert", model, [0], seed=0)
    assert student.config.id2label == {0: "0", 1: "1"}
    assert torch.equal(student.classifier.weight, model.classifier.weight)
    assert torch.equal(student.pre_classifier.weight, model.bert.pooler.dense.weight)


@pytest.mark.parametrize(("head", "part"), [(HEADS[3], "classifier"), (HEADS[4], "qa_outputs")])
def test_classifiers_of_tokens_keep_their_heads(head: Head, part: str, with_head) -> None:
    model = with_head("bert", head)
    student = extract_as("distilbert", model, [0], seed=0)
    assert torch.equal(student.get_submodule(part).weight, model.get_submodule(part).weight)
    assert student.config.num_labels == model.config.num_labels


@pytest.mark.parametrize("name", ["distilbert", "roberta", "electra", "gpt2", "enct5", "bigru"])
def test_only_bert_becomes_distilbert(name: str) -> None:
    with pytest.raises(ModelError, match="distilbert students are not made of a"):
        extract_as("distilbert", tiny(name), [0], seed=0)


def test_a_bert_whose_head_has_no_place_in_distilbert_is_refused() -> None:
    with pytest.raises(ModelError, match="not made of a BertForPreTraining"):
        extract_as("distilbert", BertForPreTraining(tiny("bert").config), [0], seed=0)


def test_embeddings_that_are_not_tied_stay_apart() -> None:
    model = BertForMaskedLM(tiny("bert", tie_word_embeddings=False).config)
    student = extract_as("distilbert", model, [0], seed=0)
    assert not torch.equal(model.cls.predictions.decoder.weight, model.bert.embeddings.word_embeddings.weight)
    assert torch.equal(
        student.distilbert.embeddings.word_embeddings.weight, model.bert.embeddings.word_embeddings.weight
    )
    assert torch.equal(student.vocab_projector.weight, model.cls.predictions.decoder.weight)


def test_norms_that_distilbert_cannot_have_are_refused() -> None:
    with pytest.raises(ModelError, match="distilbert always has a layer_norm_eps of 1e-12, found 1e-05"):
        extract_as("distilbert", tiny("bert", layer_norm_eps=1e-5), [0], seed=0)
