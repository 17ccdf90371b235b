"""Weights that users or accidents have changed fit the config, or are refused."""

import os
import struct
from pathlib import Path

import pytest
import torch

from tests.stages.odd import DEEP, Change, Weights, fields, gone, header, instead, is_loaded, is_refused

from tests.stages.odd import linked_to, longer, several, text, weights  # isort: skip

FILE = "model.safetensors"
NAME = "bert.encoder.layer.1.output.dense.weight"
NO_FILE = r"model.safetensors cannot be read \(it is no regular file\)"
NO_HEADER = r"model.safetensors cannot be read \(it is no safetensors file, or cut off\)"
ODD_HEADER = r"model.safetensors cannot be read \(it does not begin with the header of a safetensors file\)"
LENGTH = r"model.safetensors cannot be read \(its header tells of [\d,]+ bytes of tensors, found [\d,]+\)"
FOREIGN = "never pickled; found {}: its weights are of another format; load .* `save_pretrained"
CANNOT = "cannot be loaded as a model: SafetensorError"
HEAD_OF_TWO = {"classifier.weight": torch.ones(2, 16), "classifier.bias": torch.ones(2)}
THREE = {"architectures": ["BertForTokenClassification"], "id2label": {"0": "a", "1": "b", "2": "c"}}
PRUNED = {
    "model_type": "pruned-bert",
    "architectures": ["PrunedBertForMaskedLM"],
    "unit_counts": {"head": [1] * 4, "neuron": [32] * 4},
    "ancestor_counts": {"head": 8, "neuron": 128},
}


def added(**tensors: torch.Tensor) -> Change:
    """Add tensors; two underscores stand for a point."""
    return weights(lambda own: own | {name.replace("__", "."): value for name, value in tensors.items()})


def one(change) -> Change:
    """Change one tensor."""
    return weights(lambda own: own | {NAME: change(own[NAME])})


def every(change) -> Change:
    """Change all tensors."""
    return weights(lambda own: {name: change(value) for name, value in own.items()})


def lonely(name: str, content: bytes = b"") -> Change:
    """Put another file in the place of the weights."""
    return several(gone(FILE), text(name, content))


def linked(folder: Path) -> None:
    """Put a link to a file elsewhere in the place of each file, as the cache of the Hub does."""
    for file in list(folder.iterdir()):
        file.rename(folder.parent / f"blob-{file.name}")
        file.symlink_to(folder.parent / f"blob-{file.name}")


def renamed(own: Weights) -> Weights:
    return {f"module.x.{name}": value for name, value in own.items()}


@pytest.mark.parametrize("change", [
    lambda folder: None,
    linked,
    every(torch.Tensor.half),
    every(torch.Tensor.double),
    added(bert__embeddings__position_ids=torch.arange(64)[None]),
    added(cls__seq_relationship__weight=torch.full((2, 16), torch.nan)),
    header(lambda own: own.replace('{"format":"pt"}', "null")),
    text("model.safetensors.index.json", '{"weight_map": 3}'),
    text("pytorch_model.bin", b"\x80\x04cos\nsystem\n"),
    text(".DS_Store", b"\0" * 100),
    longer("optimizer.bin", 10**12),
    lambda folder: os.mkfifo(folder / "queue"),
    lambda folder: (folder / "checkpoint").mkdir(),
])  # fmt: skip
def test_what_does_no_harm(change: Change, odd_folder: Path, language_model: Path, tmp_path: Path) -> None:
    change(odd_folder)
    is_loaded(odd_folder, language_model, tmp_path / "made")


@pytest.mark.parametrize(("change", "told"), [
    (gone(FILE), "has no model.safetensors; weights are read from that file alone, never pickled$"),
    (instead(FILE, linked_to("nowhere")), "has no model.safetensors; "),
    (lonely("pytorch_model.bin", b"\x80\x04."), FOREIGN.format("pytorch_model.bin")),
    (lonely("model.pt"), FOREIGN.format("model.pt")),
    (lonely("tf_model.h5"), FOREIGN.format("tf_model.h5")),
    (lonely("flax_model.msgpack"), FOREIGN.format("flax_model.msgpack")),
    (lonely("q8.gguf"), FOREIGN.format("q8.gguf")),
    (lonely("model-00001-of-00002.safetensors"), "its weights are in several files; .*max_shard_size"),
    (lonely("model.safetensors.index.json", b"{}"), "its weights are in several files; .*max_shard_size"),
    (lonely("pytorch_model.bin.index.json", b"{}"), "its weights are in several files; "),
    (lonely("model.fp16.safetensors"), "found model.fp16.safetensors: its weights have another name; rename"),
    (lonely("adapter_config.json"), "it has an adapter alone; merge"),
    (instead(FILE, os.mkfifo), NO_FILE),
    (instead(FILE, Path.mkdir), NO_FILE),
    (instead(FILE, linked_to("/dev/zero")), NO_FILE),
    (text(FILE, b""), NO_HEADER),
    (text(FILE, b"\0" * 7), NO_HEADER),
    (text(FILE, b"\x80\x04cos\nsystem\n." * 9), NO_HEADER),
    (text(FILE, "version https://git-lfs.github.com/spec/v1\noid sha256:0"), NO_HEADER),
    (text(FILE, "<!DOCTYPE html><html>404</html>"), NO_HEADER),
    (text(FILE, struct.pack("<Q", 2) + b"[]"), NO_HEADER),
    (longer(FILE, 10**12), LENGTH),
    (longer(FILE, -100), LENGTH),
    (longer(FILE, 9), LENGTH),
    (lambda folder: os.truncate(folder / FILE, 500), NO_HEADER),
    (header(lambda own: own, 10**6), NO_HEADER),
    (header(lambda own: own, 2**64 - 1), NO_HEADER),
    (header(lambda own: DEEP), NO_HEADER),
    (header(lambda own: '{"a": 3}'), ODD_HEADER),
    (header(lambda own: own.replace('"shape"', '"size"')), ODD_HEADER),
    (header(lambda own: own.replace('"shape":[16]', '"shape":["16"]')), ODD_HEADER),
    (weights(lambda own: {}), "holds no tensors"),
    (every(torch.Tensor.char), r"expected weights of type F64.* found \S+ \(I8\), .* more; quantized models"),
    (one(torch.Tensor.long), rf"found {NAME} \(I64\); quantized models are not read"),
    (one(torch.Tensor.bool), rf"found {NAME} \(BOOL\)"),
    (one(lambda own: own.to(torch.float8_e4m3fn)), rf"found {NAME} \(F8_E4M3\)"),
    (one(lambda own: own.to(torch.complex64)), rf"found {NAME} \(C64\)"),
    (header(lambda own: own.replace('"F32"', '"F33"')), r"\(F33\)"),
    (fields(model_type="distilbert", architectures=None), "describes a distilbert, but .* has bert."),
    (weights(renamed), "describes a bert, but model.safetensors has module.x.* more; take config.json and"),
    (added(adapter__weight=torch.ones(2, 2)), "BertForMaskedLM has no place for adapter.weight; without"),
])  # fmt: skip
def test_files_that_are_no_weights(change: Change, told: str, odd_folder: Path) -> None:
    change(odd_folder)
    is_refused(odd_folder, told, shown=True)


@pytest.mark.parametrize(("change", "told"), [
    (fields(hidden_size=32, intermediate_size=64), r"have other shapes .*\(found \[16\], expected \[32\]\)"),
    (fields(intermediate_size=33), "have other shapes"),
    (fields(vocab_size=81), "have other shapes"),
    (fields(num_hidden_layers=5), "lacks 16 of the"),
    (fields(num_hidden_layers=3), "has no place for bert.encoder.layer.3"),
    (fields(architectures=["BertForSequenceClassification"]), "ForSequenceClassification has: bert.pooler"),
    (several(fields(**THREE), weights(lambda own: own | HEAD_OF_TWO)), "have other shapes"),
    (fields(**PRUNED), "lacks .* that PrunedBertForMaskedLM has"),
    (added(bert__encoder__layer__0__attention__self__distance_embedding__weight=torch.ones(127, 8)),
     "no place for bert.encoder.layer.0.attention.self.distance_embedding.weight"),
    (weights(lambda own: {name: value for name, value in own.items() if name != NAME}),
     f"lacks 1 of the .* {NAME}; take config.json and weights from the same checkpoint"),
    (one(lambda own: own.T.contiguous()), rf"{NAME} \(found \[32, 16\], expected \[16, 32\]\)"),
    (one(lambda own: own.index_fill(1, torch.tensor(3), torch.nan)), f"NaN or infinite are in {NAME}"),
    (every(lambda own: own / 0), "NaN or infinite are in .* more"),
    (header(lambda own: own.replace('"data_offsets":[64,', '"data_offsets":[60,')), CANNOT),
    (header(lambda own: own.replace('"data_offsets":[64,', '"data_offsets":[99999999,')), CANNOT),
    (header(lambda own: own.replace('"cls.predictions.bias"', f'"{NAME}"')), CANNOT),
])  # fmt: skip
def test_weights_of_another_model(change: Change, told: str, odd_folder: Path) -> None:
    change(odd_folder)
    is_refused(odd_folder, told, shown=False)
