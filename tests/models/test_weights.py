"""A model loads only if the weights are exactly the weights that its config describes."""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kdpipe.anatomy.heads import dropped_tensors, in_body
from kdpipe.catalog import resolve
from kdpipe.errors import ModelError
from kdpipe.models.loading import Head, load_model, load_tokenizer, load_with_head, save_model
from kdpipe.plan.saved.config import read_saved
from tests.models.conftest import KINDS, SHAPES

Weights = dict[str, torch.Tensor]
# Families whose heads have tensors of the same names.
ALIKE = ("bigru", "enct5")
# The parameters that the first module of a body's second block has.
SECOND = re.compile(r"\.1\..*weight$")


@pytest.fixture
def changed(bodies: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    """A function that returns the folder of a family's body, or of another model, with other weights."""

    def change(name: str, make: Callable[[Weights], Weights], folder: Path | None = None) -> Path:
        source = folder or bodies[name]
        save_model(load_model(source), load_tokenizer(source), tmp_path)
        file = tmp_path / "model.safetensors"
        save_file(make(load_file(file)), file, {"format": "pt"})
        return tmp_path

    return change


def one_of(weights: Weights) -> str:
    return next(name for name in weights if SECOND.search(name) and weights[name].dim() == 2)


def without(weights: Weights, *names: str) -> Weights:
    return {name: value for name, value in weights.items() if name not in names}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("change", "told"), [
    (lambda own: without(own, one_of(own)), r"lacks 1 of the \d+ tensors that \w+ has: \S+\.1\.\S+; take"),
    (lambda own: without(own, *list(own)[2:]), r"lacks \d\d of the \d+ tensors that \w+ has: .* \d+ more; "),
    (lambda own: {f"x.{key}": value for key, value in own.items()}, r"lacks \d\d of the \d\d tensors"),
    (lambda own: {**own, one_of(own): torch.ones(3, 5)}, r"other shapes .* \(found \[3, 5\], expected"),
    (lambda own: {**own, one_of(own): own[one_of(own)] / 0}, r"NaN or infinite are in \S+\.1\.\S+; take"),
    (lambda own: {**own, one_of(own).replace(".1.", ".7."): torch.ones(2)}, r"no place for \S+\.7\.\S+; "),
])  # fmt: skip
def test_a_body_has_all_of_its_weights_and_no_others(name: str, change, told: str, changed) -> None:
    if name == "enct5" and ".7." in told:
        pytest.skip("blocks of the decoder of T5 have no place in an EncT5")
    folder = changed(name, change)
    with pytest.raises(ModelError, match=told) as error:
        load_model(folder)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(("name", "old"), [
    ("bert", {"embeddings.position_ids": torch.arange(40)[None]}),
    ("roberta", {"embeddings.position_ids": torch.arange(42)[None]}),
    ("distilbert", {"embeddings.position_ids": torch.arange(40)[None]}),
    ("electra", {"embeddings.position_ids": torch.arange(40)[None]}),
    ("gpt2", {"h.1.attn.bias": torch.ones(1, 1, 40, 40).bool(), "h.1.attn.masked_bias": torch.tensor(-1e4)}),
    ("enct5", {"decoder.block.1.layer.0.SelfAttention.q.weight": torch.ones(8, 16),
               "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight": torch.ones(32, 2)}),
])  # fmt: skip
def test_what_older_checkpoints_have_besides_is_left_out(name: str, old: Weights, changed, bodies) -> None:
    ours = load_model(changed(name, lambda own: own | old)).state_dict()
    theirs = load_model(bodies[name]).state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_names_of_weights_as_tensorflow_had_them(changed, bodies) -> None:
    names = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}

    def rename(own: Weights) -> Weights:
        return {re.sub("|".join(names), lambda found: names[found[0]], key): own[key] for key in own}

    ours, theirs = load_model(changed("bert", rename)), load_model(bodies["bert"])
    assert all(torch.equal(*pair) for pair in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_a_pooler_that_a_body_lacks_is_drawn_from_the_seed(name: str, changed, bodies) -> None:
    lacking = "pooler.dense.weight"
    folder, weights = changed(name, lambda own: without(own, lacking)), load_model(bodies[name]).state_dict()
    torch.manual_seed(9)
    first, again, other = (load_model(folder, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(first[lacking], again[lacking])
    assert not torch.equal(first[lacking], other[lacking])
    assert first[lacking].std() < 10 * weights[lacking].std()
    assert all(torch.equal(first[key], weights[key]) for key in weights if key != lacking)


@pytest.mark.parametrize(("name", "head"), KINDS)
def test_a_head_is_known_by_its_weights(name: str, head: Head, with_head, bodies, tmp_path: Path) -> None:
    model = with_head(name, head)
    save_model(model, load_tokenizer(bodies[name]), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": None}))
    if name in ALIKE:
        with pytest.raises(ModelError, match=r"Sequence.* and .*Token.* have such weights"):
            read_saved(tmp_path)
    else:
        assert read_saved(tmp_path).config["architectures"] == [type(model).__name__]


@pytest.mark.parametrize("name", SHAPES)
def test_what_the_names_of_a_body_begin_with(name: str, bodies) -> None:
    family, model = resolve("families", name), load_model(bodies[name])
    parts = {
        f"{model.base_model_prefix}.",
        *(f"{part}." for part in {key.partition(".")[0] for key in model.state_dict()}),
    }
    assert {*family.body} == parts


@pytest.mark.parametrize(("name", "head"), KINDS)
def test_every_tensor_of_a_model_is_of_its_body_or_of_its_head(name: str, head: Head, with_head) -> None:
    model = with_head(name, head)
    assert dropped_tensors(name, type(model).__name__, model.state_dict()) == []
    others = {"x.weight"} | {key for key in model.state_dict() if not in_body(name, key)}
    assert {*dropped_tensors(name, type(model.base_model).__name__, others)} == others
    with pytest.raises(ModelError, match=r"has no place for x\.weight; without"):
        dropped_tensors(name, type(model).__name__, others)


@pytest.mark.parametrize("lacking", ["bert.pooler.dense.weight", "classifier.weight"])
def test_a_head_that_is_kept_has_all_of_its_weights_and_a_new_one_needs_none(
    lacking: str, changed, classifier: Path
) -> None:
    folder = changed("bert", lambda own: without(own, lacking), classifier)
    for load in (load_model, lambda path: load_with_head(path, Head("classification", ("0", "1")), 1)):
        with pytest.raises(ModelError, match=f"lacks 1 of .* BertForSequenceClassification has: {lacking}; "):
            load(folder)
    load_with_head(folder, Head("classification", ("no", "yes")), 1)


def test_what_is_dropped_is_told(changed, language_model: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    folder = changed(
        "bert", lambda own: own | {"cls.seq_relationship.weight": torch.ones(2, 16)}, language_model
    )
    load_model(folder)
    assert "tensors of another head are dropped: cls.seq_relationship.weight" in caplog.text
