"""Heads are kept where they fit, matched by label name, and drawn anew from the seed where they do not."""

import dataclasses
import json
import logging
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from kdpipe.errors import ModelError
from kdpipe.evaluation.tasks.question_answering import QuestionAnswering
from kdpipe.models.loading import Head, load_frozen, load_model, load_tokenizer, load_with_head, save_model

HEAD = Head("classification", "AutoModelForSequenceClassification", "ForSequenceClassification", ("0", "1"))
CPU = torch.device("cpu")
IDS = torch.tensor([[2, 9, 17, 3]])


def test_a_fitting_head_is_kept(classifier: Path) -> None:
    ours, theirs = load_model(classifier), load_with_head(classifier, HEAD, seed=1)
    assert torch.equal(ours.classifier.weight, theirs.classifier.weight)


def test_a_new_head_follows_the_seed_and_is_told(
    language_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first, again, other = (load_with_head(language_model, HEAD, seed) for seed in (1, 1, 2))
    assert torch.equal(first.classifier.weight, again.classifier.weight)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    assert first.config.id2label == {0: "0", 1: "1"}
    assert "a new one starts from seed 1" in caplog.text


def test_a_head_for_other_labels_is_replaced_though_it_has_the_same_size(classifier: Path) -> None:
    head = dataclasses.replace(HEAD, labels=("no", "yes"))
    assert not torch.equal(
        load_model(classifier).classifier.weight, load_with_head(classifier, head, seed=1).classifier.weight
    )


def test_loading_leaves_the_global_generator_alone(language_model: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load_with_head(language_model, HEAD, seed=1)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("load", [lambda f, h: load_with_head(f, h, 1), lambda f, h: load_frozen(f, h, CPU)])
def test_logits_come_in_the_datasets_label_order(classifier: Path, tmp_path: Path, load) -> None:
    model = load_model(classifier)
    with torch.no_grad():
        model.classifier.bias.copy_(torch.tensor([5.0, -5.0]))
    model.config.id2label, model.config.label2id = {0: "1", 1: "0"}, {"1": 0, "0": 1}
    save_model(model, load_tokenizer(classifier), tmp_path)
    logits = load(tmp_path, HEAD).eval()(IDS).logits[0]
    assert logits[1] > logits[0]


def test_a_teacher_without_the_head_is_refused(language_model: Path) -> None:
    with pytest.raises(ModelError, match="has no head for classification with the labels 0, 1"):
        load_frozen(language_model, HEAD, CPU)


def test_a_frozen_model_is_in_evaluation_mode_and_has_no_gradients(classifier: Path) -> None:
    model = load_frozen(classifier, HEAD, CPU)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_labels_go_by_their_index_not_by_their_place_in_the_file(classifier: Path, tmp_path: Path) -> None:
    save_model(load_model(classifier), load_tokenizer(classifier), tmp_path)
    config = tmp_path / "config.json"
    text = json.loads(config.read_text())
    text["id2label"], text["label2id"] = {"1": "1", "0": "0"}, {"1": 1, "0": 0}
    config.write_text(json.dumps(text))
    ours, theirs = load_model(classifier).eval()(IDS).logits, load_frozen(tmp_path, HEAD, CPU)(IDS).logits
    torch.testing.assert_close(ours, theirs)


def test_a_reader_has_two_outputs_whatever_the_labels_before(
    language_model: Path, wordpiece: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    three = dataclasses.replace(HEAD, labels=("a", "b", "c"))
    save_model(load_with_head(language_model, three, seed=1), wordpiece, tmp_path)
    head = QuestionAnswering.head(None)
    model = load_with_head(tmp_path, head, seed=1)
    assert model.qa_outputs.out_features == model.config.num_labels == 2
    assert load_with_head(tmp_path, head, seed=1).qa_outputs.weight.equal(model.qa_outputs.weight)
    assert not load_with_head(tmp_path, head, seed=2).qa_outputs.weight.equal(model.qa_outputs.weight)
