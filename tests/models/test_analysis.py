"""What a model consists of is told alike of a model in memory and of its saved files."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

import kdpipe
from kdpipe.anatomy.analysis import Analysis, Block
from kdpipe.errors import ModelError
from kdpipe.models.family import family_of
from kdpipe.models.loading import Head
from kdpipe.models.pruned import factorize, prune_units
from kdpipe.plan.saved.analysis import analyze_folder
from kdpipe.plan.saved.files import CONFIG, INDEX, WEIGHTS_FILE
from tests.models.conftest import PRUNABLE, WITH_HEADS, tiny

# specs/textbrewer.md, behaviour 20 of section 7.
GOLDEN = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 100,
    "max_position_embeddings": 32,
    "num_labels": 3,
}
WORDS = "bert.embeddings.word_embeddings.weight"


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    BertForSequenceClassification(BertConfig(**GOLDEN)).save_pretrained(tmp_path)
    return tmp_path


def ranks_of_all(model: Any) -> Any:
    """Return ranks of all units of an unpruned model, by kind and place."""
    body, groups = model.base_model, family_of(model).groups(model.base_model)
    return {kind: [torch.arange(group.count(body)) for group in groups[kind]] for kind in groups}


def by_name(analysis: Analysis, depth: int) -> dict[str, Any]:
    return {module.name: module for module in analysis.modules(depth)}


def test_the_golden_model(golden: Path):
    analysis = analyze_folder(golden)
    assert (analysis.parameters, analysis.size) == (6947, 4 * 6947)
    modules = by_name(analysis, 2)
    assert modules["bert.encoder"].parameters == 4448
    assert modules["bert.encoder"].share == pytest.approx(0.6403, abs=5e-5)
    assert modules["classifier"].parameters == 51
    assert analysis.blocks() == [Block(2224, 2, 32)] * 2


def test_as_text(golden: Path):
    lines = [line.split("  ") for line in analyze_folder(golden).as_text(depth=1).splitlines()]
    rows = [[cell.strip() for cell in line if cell] for line in lines]
    assert rows == [
        [
            "BertForSequenceClassification: 6,947 parameters, 0.03 MB, 2 blocks, "
            "196,912 multiply-adds for 32 tokens"
        ],
        [],
        ["module", "parameters", "share", "memory"],
        ["bert", "6,896", "99.27 %", "0.03 MB"],
        ["classifier", "51", "0.73 %", "0.00 MB"],
        [],
        ["block", "parameters", "heads", "neurons"],
        ["0", "2,224", "2", "32"],
        ["1", "2,224", "2", "32"],
    ]


def test_tied_parameters_count_once_and_are_marked():
    analysis = kdpipe.analyze(BertForMaskedLM(BertConfig(**GOLDEN)))
    assert by_name(analysis, 1)["cls"].tied_to == (WORDS, "cls.predictions.bias")
    whole = by_name(analysis, 9)
    assert whole["cls.predictions.decoder.weight"].tied_to == (WORDS,)
    assert whole["cls.predictions.decoder.weight"].parameters == 0
    assert not whole["cls"].tied_to
    assert f"tied to {WORDS}, cls.predictions.bias" in str(analysis)


@pytest.mark.parametrize(("name", "head"), WITH_HEADS)
def test_files_tell_what_the_model_tells(with_head: Any, name: str, head: Head, tmp_path: Path):
    model = with_head(name, head)
    model.save_pretrained(tmp_path)
    live, saved = kdpipe.analyze(model), analyze_folder(tmp_path)
    assert live.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert saved.weights == live.weights
    assert saved.blocks() == live.blocks()
    assert len(live.blocks()) == 3


@pytest.mark.parametrize("name", PRUNABLE)
def test_pruned_models_by_block(name: str, tmp_path: Path):
    """The ranks of the units are no parameters; the decoder of T5 is no block, and loses units, too."""
    stock = tiny(name)
    places = len(family_of(stock).groups(stock)["head"]), len(family_of(stock).groups(stock)["neuron"])
    counts = ([2, 1, 0, 1, 1][: places[0]], [3, 0, 7, 5][: places[1]])
    units = {
        kind: [torch.arange(n) for n in own] for kind, own in zip(("head", "neuron"), counts, strict=True)
    }
    model = prune_units(stock, units, ranks_of_all(stock))
    model.save_pretrained(tmp_path)
    saved = analyze_folder(tmp_path)
    assert saved.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert [(block.heads, block.neurons) for block in saved.blocks()] == [(2, 3), (1, 0), (0, 7)]
    assert saved.weights == kdpipe.analyze(model).weights


def test_a_pruned_folder_with_other_counts_is_refused(tmp_path: Path):
    stock = tiny("bert")
    units = {"head": [torch.arange(1)] * 3, "neuron": [torch.arange(2)] * 3}
    prune_units(stock, units, ranks_of_all(stock)).save_pretrained(tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    for counts in ({"head": [1], "neuron": [2, 2, 2]}, {"head": [1, 1, 1]}):
        (tmp_path / CONFIG).write_text(json.dumps({**config, "unit_counts": counts}))
        with pytest.raises(ModelError, match=r"config\.json: unit_counts: expected 3 numbers of"):
            analyze_folder(tmp_path)


def test_factorized_embeddings(tmp_path: Path):
    model = factorize(tiny("bert"), 4)
    model.save_pretrained(tmp_path)
    modules = by_name(analyze_folder(tmp_path), 3)
    assert modules["embeddings.word_embeddings.table"].parameters == 80 * 4
    assert modules["embeddings.word_embeddings.expand"].parameters == 4 * 16


def test_weights_in_several_files(tmp_path: Path):
    model = BertForMaskedLM(BertConfig(**GOLDEN))
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    assert not (tmp_path / WEIGHTS_FILE).exists()
    assert analyze_folder(tmp_path).weights == kdpipe.analyze(model).weights


def test_memory_is_that_of_the_stored_types(golden: Path):
    BertForSequenceClassification(BertConfig(**GOLDEN)).bfloat16().save_pretrained(golden)
    assert analyze_folder(golden).size == 2 * 6947


def test_blocks_are_in_the_order_of_their_numbers(golden: Path):
    BertForSequenceClassification(BertConfig(**{**GOLDEN, "num_hidden_layers": 11})).save_pretrained(golden)
    names = [*by_name(analyze_folder(golden), 4)]
    assert [name for name in names if name.startswith("bert.encoder.layer.")] == [
        f"bert.encoder.layer.{index}" for index in range(11)
    ]


def test_a_family_that_is_not_known(tmp_path: Path):
    (tmp_path / CONFIG).write_text('{"model_type": "mine", "architectures": ["Mine"]}')
    save_file({"layers.0.weight": torch.zeros(3, 4)}, tmp_path / WEIGHTS_FILE)
    analysis = analyze_folder(tmp_path)
    assert (analysis.parameters, analysis.blocks()) == (12, [])
    assert str(analysis).startswith("Mine: 12 parameters, 0.00 MB\n\nmodule")


def without(name: str) -> Any:
    return lambda folder: (folder / name).unlink()


def written(name: str, text: str) -> Any:
    return lambda folder: (folder / name).write_text(text)


def sharded(places: Any) -> Any:
    def change(folder: Path) -> None:
        (folder / WEIGHTS_FILE).rename(folder / "part.safetensors")
        (folder / INDEX).write_text(json.dumps({"weight_map": places}))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without(CONFIG), r"config\.json cannot be read \(there is none\); expected the folder of a saved"),
        (without(WEIGHTS_FILE), r"model\.safetensors cannot be read \(there is none\)"),
        (written(CONFIG, "[]"), r"config\.json cannot be read \(expected a JSON object, found list\)"),
        (written(CONFIG, '{"model_type": "bert", "hidden_size": "many"}'), "config.json: hidden_size: "),
        (written(WEIGHTS_FILE, "weights"), "it is no safetensors file, or cut off"),
        (sharded({"a": "../part.safetensors"}), "weight_map`, with a file of the folder for each tensor"),
        (sharded(["part.safetensors"]), "weight_map`, with a file of the folder for each tensor"),
        (sharded({"a": "part.safetensors"}), "its files lack a"),
        (sharded({"a": "other.safetensors"}), r"other\.safetensors cannot be read \(there is none\)"),
    ],
)
def test_folders_without_a_whole_model(golden: Path, change: Any, message: str):
    change(golden)
    with pytest.raises(ModelError, match=message):
        analyze_folder(golden)
