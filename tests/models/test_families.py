"""Models of every family keep the contract of a family."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from kdpipe import catalog
from kdpipe.anatomy.signals import LOGITS, Signal
from kdpipe.data.batches import PAD_MULTIPLE, Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.models.family import depth_of, family_of
from kdpipe.models.loading import load_model, load_tokenizer, save_model
from kdpipe.signals.capture import Request, capture
from tests.models.conftest import HEADS, KINDS, SHAPES, batch_of, kind_of, logits_of, pairs, tiny
from tests.tolerance import assert_close


@pytest.mark.parametrize("name", SHAPES)
def test_the_fields_of_a_shape_are_those_of_the_config(name):
    model = tiny(name, pad_token_id=1)
    fields = family_of(model).shape_fields
    sizes = {fact: getattr(model.config, field) for fact, field in fields.items()}
    assert sizes["depth"] == depth_of(model) == 3
    assert sizes["width"] == 16
    assert sizes["vocabulary"] == model.get_input_embeddings().num_embeddings == 80
    assert sizes.get("heads", 2) == 2
    if "positions" in sizes:
        longest = sizes["positions"] - family_of(model).reserved_positions
        model(torch.full((1, longest), 5))
        with pytest.raises((IndexError, RuntimeError)):
            model(torch.full((1, longest + 1), 5))


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "bigru"])
def test_hidden_states_are_those_that_transformers_returns(name):
    model, batch = tiny(name), batch_of(7, 4)
    states = capture(model, batch, Request(tuple(Signal("hidden_states", n) for n in range(4))))
    inputs = {key: batch[key] for key in family_of(model).inputs}
    expected = model(**inputs, output_hidden_states=True).hidden_states
    assert len(expected) == 4
    for signal, rows in states.items():
        assert rows.values.shape == (11, 16)
        assert rows.examples.tolist() == 7 * [0] + 4 * [1]
        assert torch.equal(rows.values, expected[signal.place].flatten(0, 1)[batch["token_rows"]])


@pytest.mark.parametrize(("name", "head"), KINDS)
def test_padding_changes_no_logits(name, head, with_head):
    model = with_head(name, head)
    padded = batch_of(4, 9, width=16)
    alone = {key: value[:1, :4] for key, value in padded.items() if value.dim() == 2}
    logits, expected = (logits_of(model, batch) for batch in (padded, alone))
    row = logits[:1] if logits.dim() == 2 else logits[:1, :4]
    assert_close(row, expected)


@pytest.mark.parametrize(("name", "head"), KINDS)
def test_a_dataset_may_be_as_long_as_a_model_reads(name, head, long_data):
    config = tiny(name, **{key: size + 4 for key, size in SHAPES[name].items() if "position" in key}).config
    model = getattr(transformers, f"AutoModel{kind_of(name, head)}").from_config(config).eval()
    split = EncodedSplit(long_data, "train")
    assert split.longest == 44
    order = np.argsort(split.lengths).tolist()
    shortest, longest = (Collator(split, pad_id=0)(part) for part in (order[:3], order[-3:]))
    assert shortest["input_ids"].shape[1] % PAD_MULTIPLE == 0
    assert logits_of(model, longest).isfinite().all()


@pytest.mark.parametrize(("name", "head"), KINDS)
def test_a_saved_model_is_the_same_when_loaded(name, head, with_head, bodies, tmp_path):
    model = with_head(name, head)
    save_model(model, load_tokenizer(bodies[name]), tmp_path)
    again = load_model(tmp_path).eval()
    assert (
        type(again).__name__
        == type(model).__name__
        == catalog.resolve("families", name).heads[kind_of(name, head)][0]
    )
    weights = again.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    batch = batch_of(5, 8)
    logits, expected = (logits_of(one, batch) for one in (again, model))
    assert_close(logits, expected)


@pytest.mark.parametrize("name", SHAPES)
def test_a_saved_body_is_the_same_when_loaded(name, bodies, tmp_path):
    model = load_model(bodies[name])
    save_model(model, load_tokenizer(bodies[name]), tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == (bodies[name] / "model.safetensors").read_bytes()
    assert (tmp_path / "config.json").read_bytes() == (bodies[name] / "config.json").read_bytes()


@pytest.mark.parametrize(("name", "head"), pairs("language_modeling"))
def test_logits_over_the_vocabulary_are_those_of_the_positions_asked_for(name, head, with_head):
    model, batch = with_head(name, head), batch_of(5, 8)
    batch["label_rows"] = torch.tensor([1, 4, 10])
    logits = capture(model, batch, Request(positions="labelled"))[LOGITS].values
    expected = logits_of(model, batch).flatten(0, 1)[[1, 4, 10]]
    assert_close(logits, expected)


@pytest.mark.parametrize(("name", "head"), pairs("token_classification", "question_answering"))
def test_logits_of_tokens_are_those_of_the_positions_asked_for(name, head, with_head):
    model, batch = with_head(name, head), batch_of(5, 8)
    batch["token_rows"] = torch.tensor([0, 1, 9])
    logits = capture(model, batch, Request(positions="tokens"))[LOGITS].values
    everywhere = logits_of(model, batch)
    assert everywhere.shape == (2, 8, model.config.num_labels)
    assert_close(logits, everywhere.flatten(0, 1)[[0, 1, 9]])


@pytest.mark.parametrize("name", SHAPES)
def test_the_heads_of_a_family_are_those_that_transformers_builds(name):
    model = tiny(name)
    for suffix, (model_class, *_) in family_of(model).heads.items():
        built = getattr(transformers, f"AutoModel{suffix}").from_config(model.config)
        assert type(built).__name__ == model_class


@pytest.mark.parametrize("name", SHAPES)
def test_what_comes_later_shows_where_a_family_is_not_causal(name):
    model, batch = tiny(name), batch_of(6)
    changed = {**batch, "input_ids": batch["input_ids"].clone()}
    changed["input_ids"][0, 5] = 6 if batch["input_ids"][0, 5] != 6 else 7
    last = Signal("hidden_states", 3)
    first, second = (capture(model, rows, Request((last,)))[last].values[:5] for rows in (batch, changed))
    assert torch.equal(first, second) == family_of(model).causal


def test_a_text_of_gpt2_may_end_in_the_token_that_pads(with_head):
    model, batch = with_head("gpt2", HEADS[0]), batch_of(6, 9)
    plain = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    assert_close(logits_of(model, batch), plain)
    batch["input_ids"][0, 5] = model.config.pad_token_id
    final = model.base_model(batch["input_ids"][:1, :6]).last_hidden_state
    assert_close(logits_of(model, batch)[:1], model.score(final[:, 5]))


def test_a_model_gives_gradients_to_all_its_weights(with_head):
    for name, head in (("enct5", HEADS[0]), ("bigru", HEADS[0]), ("enct5", HEADS[3]), ("bigru", HEADS[3])):
        model = with_head(name, head).train()
        capture(model, batch_of(40, 30), Request())[LOGITS].values.square().mean().backward()
        assert [key for key, value in model.named_parameters() if value.grad is None] == [], name


@pytest.mark.slow
def test_registered_classes_load_through_the_auto_classes_in_a_fresh_process(
    with_head, bodies: dict[str, Path], tmp_path: Path
) -> None:
    folders = [str(tmp_path / name) for name in ("enct5", "bigru")]
    for name in ("enct5", "bigru"):
        save_model(with_head(name, HEADS[0]), load_tokenizer(bodies[name]), tmp_path / name)
    program = (
        "import sys, kdpipe.models\n"
        "from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer\n"
        "for folder in sys.argv[1:]:\n"
        "    for auto in (AutoModel, AutoModelForSequenceClassification, AutoTokenizer):\n"
        "        print(type(auto.from_pretrained(folder)).__name__)\n"
    )
    outputs = subprocess.check_output([sys.executable, "-c", program, *folders], text=True).split()
    classes = ["EncT5Model", "EncT5ForSequenceClassification", "BiGRUModel", "BiGRUForSequenceClassification"]
    assert [*outputs[0:2], *outputs[3:5]] == classes
    assert {outputs[2], outputs[5]} == {type(load_tokenizer(bodies["bert"])).__name__}
