"""A check of a config refuses a `config.json` that users or accidents have changed, or it does no harm."""

import os
from pathlib import Path

import pytest

from tests.stages.odd import DEEP, REMOVED, Change, fields, gone, instead, is_loaded, is_refused, linked_to

from tests.stages.odd import longer, several, text  # isort: skip

NO_JSON = r"config.json cannot be read \(it is no JSON, or no UTF-8\); expected the folder of a saved model"
NO_FILE = r"config.json cannot be read \(it is no regular file\)"
NOT_THERE = r"config.json cannot be read \(there is none\)"
PRUNED = {"model_type": "pruned-bert", "architectures": ["PrunedBertForMaskedLM"]}
CLASSIFIER = "BertForSequenceClassification"
HALF = {"head": [1] * 4, "neuron": [32] * 4}


@pytest.mark.parametrize("change", [
    fields(architectures=REMOVED),
    fields(architectures=None),
    fields(architectures=[]),
    fields(architectures=["BertForPreTraining"]),
    fields(architectures=["BertModel"]),
    fields(architectures=["BertForMaskedLM", "BertModel"]),
    fields(dtype="float16"),
    fields(dtype=3, torch_dtype="load"),
    several(fields(auto_map={"AutoModel": "code.Model"}), text("code.py", "raise SystemExit(7)")),
    fields(base_model_tp_plan={"x": 3}, attribute_map={"hidden_size": "x"}),
    fields(transformers_weights="/etc/passwd"),
    fields(fusion_config={"patch_embeddings": True}),
    fields(attn_implementation="someone/kernel", _attn_implementation_internal="x/y"),
    fields(return_dict=False, torchscript=True, output_hidden_states=True),
    fields(_name_or_path="/etc", name_or_path=3, _commit_hash=[]),
    fields(id2label={"0": "a", "1": "b", "2": "c"}, label2id=None),
    fields(hidden=[[[{}]]], **{"num hidden layers": 3}),
    text("adapter_config.json", '{"base_model_name_or_path": "a/b"}'),
    text("generation_config.json", "[3]"),
])  # fmt: skip
def test_what_does_no_harm(change: Change, odd_folder: Path, language_model: Path, tmp_path: Path) -> None:
    change(odd_folder)
    is_loaded(odd_folder, language_model, tmp_path / "made")


@pytest.mark.parametrize(("change", "told"), [
    (lambda folder: [file.unlink() for file in folder.iterdir()], NOT_THERE),
    (gone("config.json"), NOT_THERE),
    (text("config.json", ""), NO_JSON),
    (text("config.json", " \n"), NO_JSON),
    (text("config.json", '{"model_type": "be'), NO_JSON),
    (text("config.json", "model_type: bert"), NO_JSON),
    (text("config.json", b'{"model_type": "\xff"}'), NO_JSON),
    (text("config.json", r'{"model_type": "\ud800"}'), NO_JSON),
    (text("config.json", "{}".encode("utf-16")), NO_JSON),
    (text("config.json", b"\0" * 500), NO_JSON),
    (text("config.json", '{"hidden_size": ' + "9" * 5000 + "}"), NO_JSON),
    (text("config.json", DEEP), r"\(it is nested too deep\)"),
    (text("config.json", "[]"), r"\(expected a JSON object, found list\)"),
    (text("config.json", "null"), r"\(expected a JSON object, found NoneType\)"),
    (text("config.json", '"bert"'), r"\(expected a JSON object, found str\)"),
    (text("config.json", "{}"), "holds a model of the family 'None'"),
    (text("config.json", '{"scripts": {"test": "x"}}'), "holds a model of the family 'None'"),
    (instead("config.json", os.mkfifo), NO_FILE),
    (instead("config.json", linked_to("/dev/zero")), NO_FILE),
    (instead("config.json", Path.mkdir), NO_FILE),
    (instead("config.json", linked_to("nowhere")), NOT_THERE),
    (instead("config.json", linked_to("config.json")), "config.json cannot be read"),
    (longer("config.json", 10**12), r"\(it is longer than 100,000,000 bytes\)"),
])  # fmt: skip
def test_files_that_are_no_config(change: Change, told: str, odd_folder: Path) -> None:
    change(odd_folder)
    is_refused(odd_folder, told, shown=True)


@pytest.mark.parametrize(("values", "told"), [
    ({"model_type": REMOVED}, "family 'None'"),
    ({"model_type": 3}, "family '3'"),
    ({"model_type": ["bert"]}, "holds a model of the family"),
    ({"model_type": "deberta"}, "family 'deberta'; did you mean 'bert'"),
    ({"model_type": "x" * 10**5}, "family 'x+…; there is"),
    ({"model_type": "pruned-bigru"}, "kind 'pruned-bigru', which does not exist"),
    ({"model_type": "pruned-pruned-bert"}, "family 'pruned-bert'"),
    ({"model_type": "distilbert"}, "architectures: expected a class of the family distilbert"),
    ({"quantization_config": {"quant_method": "bitsandbytes"}}, "quantization_config .* is not supported"),
    ({"quantization_config": [3]}, r"quantization_config \[3\] is not supported"),
    ({"is_decoder": True}, "is_decoder true is not supported; take a model without"),
    ({"add_cross_attention": True}, "add_cross_attention true is not supported"),
    ({"position_embedding_type": "relative_key"}, "position_embedding_type relative_key is not supported"),
    ({"pruned_heads": {"0": [1]}}, "pruned_heads .* is not supported"),
    ({"architectures": ["pipeline"]}, "expected a class of the family bert, such as BertModel, found pipel"),
    ({"architectures": ["GPT2LMHeadModel"]}, "architectures: expected .* found GPT2LMHeadModel"),
    ({"architectures": ["os.system"]}, "architectures: expected .* found os.system"),
    ({"architectures": "BertForMaskedLM"}, "architectures: should be a valid list"),
    ({"architectures": {"a": 1}}, "architectures: should be a valid list"),
    ({"architectures": [None]}, r"architectures\[0\]: should be a valid string, found None"),
    ({"architectures": [3]}, r"architectures\[0\]: should be a valid string, found 3"),
])  # fmt: skip
def test_models_that_are_none_of_ours(values, told: str, odd_folder: Path) -> None:
    fields(**values)(odd_folder)
    is_refused(odd_folder, told, shown=True)


@pytest.mark.parametrize(("values", "told"), [
    ({"hidden_size": "16"}, "hidden_size: should be a valid integer, found '16'"),
    ({"hidden_size": [16]}, r"hidden_size: should be a valid integer, found \[16\]"),
    ({"hidden_size": ["a"] * 10**4}, r"hidden_size: should be a valid integer, found .* \.\.\.\]"),
    ({"hidden_size": None}, "hidden_size: should be a valid integer, found None"),
    ({"hidden_size": True}, "hidden_size: should be a valid integer, found True"),
    ({"hidden_size": 16.0}, "hidden_size: should be a valid integer, found 16.0"),
    ({"hidden_size": float("nan")}, "hidden_size: should be a valid integer"),
    ({"hidden_size": 2 * 10**12}, "hidden_size.*000"),
    ({"hidden_size": -16}, "hidden_size.*found -16"),
    ({"hidden_size": 0}, "hidden_size.*found 0"),
    ({"hidden_size": 17}, "hidden_size must be a multiple of num_attention_heads"),
    ({"hidden_size": 1024, "num_hidden_layers": 64}, "describes 2[0-9,]+ weights, but model.safetensors has"),
    ({"num_hidden_layers": -1}, "num_hidden_layers.*found -1"),
    ({"num_hidden_layers": 0}, "num_hidden_layers.*found 0"),
    ({"num_hidden_layers": 10**9}, "num_hidden_layers.*000"),
    ({"num_attention_heads": 0}, "num_attention_heads.*found 0"),
    ({"intermediate_size": 0}, "intermediate_size.*found 0"),
    ({"max_position_embeddings": 0}, "max_position_embeddings.*found 0"),
    ({"type_vocab_size": 10**12}, "type_vocab_size.*000"),
    ({"vocab_size": "80"}, "vocab_size: expected a number of tokens, found 80"),
    ({"vocab_size": True}, "vocab_size: expected a number of tokens, found true"),
    ({"vocab_size": 0}, "vocab_size: expected a number of tokens, found 0"),
    ({"vocab_size": 10**400}, "vocab_size.*000…"),
    ({"num_hidden_layers": -(10**400)}, "num_hidden_layers.*found"),
    ({"vocab_size": 10**12}, "vocab_size is 1,000,000,000,000, but"),
    ({"hidden_act": 3}, "hidden_act: 3 is not known; there is gelu"),
    ({"hidden_dropout_prob": "a"}, "hidden_dropout_prob: should be"),
    ({"layer_norm_eps": float("inf")}, "layer_norm_eps: should be a finite number"),
    ({"pad_token_id": "0"}, "pad_token_id: should be a valid integer"),
    ({"pad_token_id": 80}, "pad_token_id: expected one of 80 tokens, found 80"),
    ({"pad_token_id": -1}, "pad_token_id.*found -1"),
])  # fmt: skip
def test_sizes_that_cannot_be(values, told: str, odd_folder: Path) -> None:
    fields(**values)(odd_folder)
    is_refused(odd_folder, told, shown=True)


@pytest.mark.parametrize(("values", "told"), [
    ({"id2label": ["a", "b"]}, "id2label: should be a valid mapping"),
    ({"id2label": {"0": 0, "1": 1}}, "id2label.0: should be a valid string, found 0"),
    ({"id2label": {}}, "id2label: expected names for the outputs 0 and so on"),
    ({"id2label": {"0": "a", "2": "b"}}, r'id2label: expected .* 0 and so on, found \["0", "2"\]'),
    ({"id2label": {"a": "0", "b": "1"}}, "id2label: expected names for the outputs"),
    ({"id2label": {"0": "a", "1": "a"}}, "id2label: expected a name of its own for each output"),
    ({"id2label": {"0": "a\0", "1": "b"}}, "id2label: expected names without control characters"),
    ({"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 1, "b": 0}}, "label2id: .* contradicts id2label"),
    ({"label2id": {"a": "0"}}, "label2id.a: should be a valid integer"),
    ({"id2label": {"0": "a", "1": "b"}, "num_labels": 3}, "num_labels: id2label names 2 outputs, found 3"),
    ({"num_labels": 10**12}, "num_labels: should be less than or equal to 100000"),
    ({"num_labels": 10**5}, "num_labels is 100,000, but model.safetensors has"),
    ({"num_labels": "2"}, "num_labels: should be a valid integer"),
    ({"problem_type": "guessing"}, "problem_type: 'guessing' is not known"),
    ({"id2label": {"0": "a"}, "problem_type": "single_label_classification"}, "problem_type: .* needs two"),
    ({"architectures": [CLASSIFIER], "problem_type": "regression"}, "regression has one output, found 2"),
    ({**PRUNED, "unit_counts": {"head": [1]}}, "unit_counts: expected 4 numbers of heads"),
    ({**PRUNED, "unit_counts": "all"}, "unit_counts: should be a valid mapping"),
    ({**PRUNED, "unit_counts": {**HALF, "head": [-1] * 4}}, r"unit_counts.head\[0\]: should be greater"),
    ({**PRUNED, "unit_counts": HALF}, "ancestor_counts: expected 4 heads or more, found None"),
    ({**PRUNED, "unit_counts": HALF, "ancestor_counts": {"head": 3, "neuron": 128}}, "expected 4 heads or"),
    ({**PRUNED, "embedding_rank": "4"}, "embedding_rank: should be a valid integer"),
])  # fmt: skip
def test_heads_and_units_that_cannot_be(values, told: str, odd_folder: Path) -> None:
    fields(**{"id2label": None, "label2id": None, **values})(odd_folder)
    is_refused(odd_folder, told, shown=True)


def test_a_message_is_short_whatever_the_config_holds(odd_folder: Path) -> None:
    names = ("hidden_size", "vocab_size", "hidden_act", "id2label")
    fields(**dict.fromkeys(names, ["x" * 100] * 999))(odd_folder)
    is_refused(odd_folder, "hidden_size: should be a valid integer", shown=True)
