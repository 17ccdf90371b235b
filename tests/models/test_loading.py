"""A head stays where it fits, with outputs matched by label name; else the seed draws a new head."""

import dataclasses
import json
import logging
import os
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

from kdpipe.errors import ModelError
from kdpipe.models.loading import (
    Head,
    agree_on_padding,
    load_frozen,
    load_model,
    load_tokenizer,
    load_with_head,
    name_labels,
    save_model,
)
from tests.models.conftest import HEADS, KINDS, batch_of, kind_of, logits_of, pairs, tiny
from tests.tolerance import assert_close

HEAD = Head("classification", ("0", "1"))
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
    assert "a new head starts from seed 1" in caplog.text
    assert "bert.pooler.dense.weight: drawn from seed 2" in caplog.text


def test_transformers_does_not_list_the_weights_of_a_new_head(
    language_model: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    load_with_head(language_model, HEAD, seed=1)
    assert "LOAD REPORT" not in caplog.text
    AutoModelForSequenceClassification.from_pretrained(language_model)
    assert "LOAD REPORT" in caplog.text


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


def test_a_teacher_whose_outputs_have_other_names_is_refused_with_the_remedy(classifier: Path) -> None:
    with pytest.raises(ModelError, match=r"mean these labels, name them in their order with `labels` of"):
        load_frozen(classifier, dataclasses.replace(HEAD, labels=("no", "yes")), CPU)
    with pytest.raises(ModelError, match=r"or name a model that was$"):
        load_frozen(classifier, dataclasses.replace(HEAD, labels=("a", "b", "c")), CPU)


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
    assert_close(ours, theirs)


LABELLED = pairs("classification", "token_classification")


@pytest.mark.parametrize(("name", "head"), pairs())
def test_a_head_has_the_outputs_of_its_task(name: str, head: Head, with_head) -> None:
    model, batch = with_head(name, head), batch_of(5, 8)
    outputs = {"regression": 1, "question_answering": 2, "language_modeling": model.config.vocab_size}
    logits = logits_of(model, batch)
    assert logits.shape[-1] == outputs.get(head.task, 3)
    assert logits.shape[:-1] == ((2,) if kind_of(name, head) == "ForSequenceClassification" else (2, 8))
    if head.labels:
        assert tuple(model.config.id2label.values()) == head.labels


@pytest.mark.parametrize(("name", "head"), KINDS)
def test_a_new_head_has_the_same_bits_whatever_was_loaded(
    name: str, head: Head, with_head, bodies: dict[str, Path], tmp_path: Path
) -> None:
    model = with_head(name, head)
    body = {id(parameter) for parameter in model.base_model.parameters()}
    drawn = [key for key, value in model.named_parameters() if id(value) not in body]
    assert drawn or model.get_output_embeddings() is not None
    # The head is for another task and other labels, with as many outputs.
    for other in HEADS[:1] + HEADS[3:4]:
        labels = ("x", "y", "z") if other.task == head.task else other.labels
        before = load_with_head(bodies[name], dataclasses.replace(other, labels=labels), seed=5)
        save_model(before, load_tokenizer(bodies[name]), tmp_path)
        weights = load_with_head(tmp_path, head, seed=1).state_dict()
        for key in drawn:
            assert torch.equal(weights[key], model.state_dict()[key]), key
    other_seed = with_head(name, head, seed=2).state_dict()
    assert not drawn or any(not torch.equal(other_seed[key], model.state_dict()[key]) for key in drawn)


def test_a_new_head_is_the_same_on_students_of_different_depth(tmp_path: Path, bodies) -> None:
    heads = []
    for depth in (1, 2):
        save_model(tiny("bert", num_hidden_layers=depth), load_tokenizer(bodies["bert"]), tmp_path)
        heads.append(load_with_head(tmp_path, HEADS[0], seed=1).classifier.weight)
    assert torch.equal(*heads)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_pooler_that_is_missing_is_drawn_beside_a_head_that_is_what_it_would_be_anyway(
    seed: int, language_model: Path, classifier: Path, tmp_path: Path
) -> None:
    head = dataclasses.replace(HEAD, labels=("no", "yes"))
    first, again = (load_with_head(language_model, head, seed) for _ in range(2))
    with_pooler = load_with_head(classifier, head, seed)
    assert torch.equal(first.bert.pooler.dense.weight, again.bert.pooler.dense.weight)
    assert not torch.equal(first.bert.pooler.dense.weight, with_pooler.bert.pooler.dense.weight)
    assert torch.equal(first.classifier.weight, with_pooler.classifier.weight)


@pytest.mark.parametrize(("name", "head"), LABELLED)
def test_labels_are_put_in_the_datasets_order(
    name: str, head: Head, with_head, bodies: dict[str, Path], tmp_path: Path
) -> None:
    model = with_head(name, head)
    save_model(model, load_tokenizer(bodies[name]), tmp_path)
    turned = dataclasses.replace(head, labels=("a", "b", "c"))
    batch = batch_of(5, 8)
    expected = logits_of(model, batch)[..., [2, 0, 1]]
    for again in (load_with_head(tmp_path, turned, 1).eval(), load_frozen(tmp_path, turned, CPU)):
        assert_close(logits_of(again, batch), expected)
        assert list(again.config.id2label.values()) == ["a", "b", "c"]
        assert again.config.label2id == {"a": 0, "b": 1, "c": 2}


@pytest.mark.parametrize(("name", "task", "families"), [
    ("bigru", "language_modeling", "bert, distilbert, electra, gpt2, roberta"),
    ("bigru", "question_answering", "bert, distilbert, electra, gpt2, roberta"),
])  # fmt: skip
def test_a_family_without_the_head_is_refused_by_name(
    name: str, task: str, families: str, bodies: dict[str, Path]
) -> None:
    head = next(head for head in HEADS if head.task == task)
    with pytest.raises(
        ModelError, match=f"^{name} has no head for {head.task}; families that have: {families}$"
    ):
        load_with_head(bodies[name], head, seed=1)


def test_one_head_for_texts_is_not_taken_for_another(with_head, bodies, tmp_path: Path) -> None:
    categories, several, number = HEADS[:3]
    for have, want in (
        (categories, several),
        (several, categories),
        (number, categories),
        (categories, number),
    ):
        save_model(with_head("bert", have), load_tokenizer(bodies["bert"]), tmp_path)
        load_frozen(tmp_path, have, CPU)
        with pytest.raises(ModelError, match=f"has no head for {want.task}"):
            load_frozen(tmp_path, want, CPU)


def test_a_head_that_does_not_say_what_it_is_for_serves_where_its_outputs_do(
    with_head, bodies, tmp_path: Path
) -> None:
    for head in HEADS[:3]:
        model = with_head("bert", head)
        model.config.problem_type = None
        save_model(model, load_tokenizer(bodies["bert"]), tmp_path)
        assert torch.equal(load_frozen(tmp_path, head, CPU).classifier.weight, model.classifier.weight)


def test_labels_are_named_in_the_order_of_the_outputs(with_head) -> None:
    model = with_head("bert", HEADS[0])
    name_labels(model, ("x", "y", "z"))
    assert model.config.id2label == {0: "x", 1: "y", 2: "z"}
    assert model.config.label2id == {"x": 0, "y": 1, "z": 2}
    with pytest.raises(
        ModelError, match=r"found 2 \(x, y\), but the BertForSequenceClassification has 3 outputs"
    ):
        name_labels(model, ("x", "y"))
    with pytest.raises(ModelError, match="the BertForMaskedLM has no outputs with labels"):
        name_labels(with_head("bert", HEADS[5]), ("x", "y"))


def test_a_tokenizer_without_a_padding_token_pads_with_its_end(bodies: dict[str, Path]) -> None:
    tokenizer, model = load_tokenizer(bodies["gpt2"]), tiny("gpt2", pad_token_id=None)
    tokenizer.pad_token, tokenizer.eos_token = None, None
    with pytest.raises(ModelError, match="no padding token and no end token"):
        agree_on_padding(model, tokenizer)
    tokenizer.eos_token = "[SEP]"
    agree_on_padding(model, tokenizer)
    assert model.config.pad_token_id == tokenizer.pad_token_id == tokenizer.convert_tokens_to_ids("[SEP]")


def test_all_files_of_a_model_have_the_mode_of_the_umask(bodies: dict[str, Path], tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        save_model(tiny("bert"), load_tokenizer(bodies["bert"]), tmp_path)
    finally:
        os.umask(before)
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()} == dict.fromkeys(
        ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"), "0o640"
    )


def test_a_reader_has_two_outputs_whatever_the_labels_before(
    language_model: Path, wordpiece: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    three = dataclasses.replace(HEAD, labels=("a", "b", "c"))
    save_model(load_with_head(language_model, three, seed=1), wordpiece, tmp_path)
    head = Head("question_answering")
    model = load_with_head(tmp_path, head, seed=1)
    assert model.qa_outputs.out_features == model.config.num_labels == 2
    assert load_with_head(tmp_path, head, seed=1).qa_outputs.weight.equal(model.qa_outputs.weight)
    assert not load_with_head(tmp_path, head, seed=2).qa_outputs.weight.equal(model.qa_outputs.weight)
