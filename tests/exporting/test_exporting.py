"""Exported models give what the torch models give, for texts of any number and length."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from transformers import PreTrainedModel

from kdpipe.anatomy.formats import GRAPH, TOLERANCES, WEIGHTS, ExportFormat
from kdpipe.errors import ModelError
from kdpipe.exporting import formats, graph
from kdpipe.exporting.comparison import check_equal, distance
from kdpipe.exporting.folder import export_model
from kdpipe.exporting.formats import WRITERS
from kdpipe.exporting.session import OnnxModel
from kdpipe.models.family import family_of
from kdpipe.models.int8 import int8_layers, quantizable, with_int8
from kdpipe.models.loading import Head, load_model, load_with_head, save_model
from kdpipe.models.pruned import prune_units
from tests.models.conftest import SHAPES, bodies, pairs, scattered, tiny, with_head
from tests.tolerance import rounding

__all__ = ["bodies", "with_head"]
LABELS = Head("classification", ("b", "c", "a"))


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., OnnxModel]:
    """A function that writes a model in a format, and returns what runs it."""

    def write(model: PreTrainedModel, format: ExportFormat = "onnx", kept: Any = ()) -> OnnxModel:
        folder = tmp_path / format
        folder.mkdir()
        graph.write_graph(model, folder / "float.onnx")
        WRITERS[format](folder / "float.onnx", folder / GRAPH, kept)
        return OnnxModel(folder)

    return write


def multiplied(folder: Path) -> int:
    """Return the number of products of integers in a graph."""
    nodes = onnx.load(folder / GRAPH, load_external_data=False).graph.node
    return sum(node.op_type == "MatMulInteger" for node in nodes)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "head"), pairs())
def test_every_family_and_task_in_every_format(
    name: str, head: Head, with_head: Any, written: Callable[..., OnnxModel], tmp_path: Path
) -> None:
    model = scattered(with_head(name, head))
    assert distance(model, written(model)) < rounding()
    for format in ("onnx_fp16", "onnx_int8"):
        folder = tmp_path / format
        folder.mkdir()
        WRITERS[format](tmp_path / "onnx" / "float.onnx", folder / GRAPH, ())
        assert 0 < distance(model, OnnxModel(folder)) < TOLERANCES[format] / 2
    assert multiplied(tmp_path / "onnx_int8") >= 3


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_bodies_give_their_states(name: str, written: Callable[..., OnnxModel]) -> None:
    model = scattered(tiny(name))
    exported = written(model)
    assert exported.outputs == ["last_hidden_state"]
    assert distance(model, exported) < rounding()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*SHAPES} - {"bigru"}))
def test_blocks_of_different_sizes_and_empty_ones(
    name: str, with_head: Any, written: Callable[..., OnnxModel], tmp_path: Path
) -> None:
    model = uneven(scattered(with_head(name, LABELS)))
    for format in TOLERANCES:
        assert distance(model, written(model, format)) < TOLERANCES[format] / 4


def uneven(model: PreTrainedModel) -> PreTrainedModel:
    """Return a model whose blocks have lost different numbers of heads and neurons, the second all."""
    body: Any = model.base_model
    groups = family_of(model).groups(body)
    units, ranks = {}, {}
    for kind, places in groups.items():
        counts = [group.count(body) for group in places]
        left = [max(1, count - place) for place, count in enumerate(counts)]
        left[1] = 0
        units[kind] = [torch.arange(number) for number in left]
        ranks[kind] = [torch.arange(count) for count in counts]
    small = prune_units(model, units, ranks)
    small.train(False)
    return small


@pytest.fixture(scope="module")
def bert(bodies: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[PreTrainedModel, Path]:
    """A classifier with a block, and its graph in float32."""
    model = scattered(load_with_head(bodies["bert"], LABELS, 1).eval())
    file = tmp_path_factory.mktemp("bert") / GRAPH
    graph.write_graph(model, file)
    return model, file


@pytest.mark.parametrize("format", TOLERANCES)
def test_a_format(bert: tuple[PreTrainedModel, Path], format: ExportFormat, tmp_path: Path) -> None:
    model, file = bert
    WRITERS[format](file, tmp_path / GRAPH, ())
    assert check_equal(model, tmp_path, format) < TOLERANCES[format] / 4
    assert multiplied(tmp_path) == (20 if format == "onnx_int8" else 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [GRAPH]


def test_layers_that_are_kept_stay_in_float(bert: tuple[PreTrainedModel, Path], tmp_path: Path) -> None:
    _, file = bert
    kept = ["classifier", "bert.encoder.layer.1", "bert.embeddings.word_embeddings"]
    WRITERS["onnx_int8"](file, tmp_path / GRAPH, kept)
    assert multiplied(tmp_path) == 20 - 1 - 6
    weights = {weight.name: weight.data_type for weight in onnx.load(tmp_path / GRAPH).graph.initializer}
    kinds = {name: kind for name, kind in weights.items() if "_embeddings.weight" in name}
    assert [kind for name, kind in kinds.items() if "word_embeddings" in name] == [onnx.TensorProto.FLOAT]
    assert [kind for name, kind in kinds.items() if "position_embeddings" in name] == []
    assert onnx.TensorProto.INT8 in weights.values()


def test_a_large_row_of_a_table_rounds_no_other_row_away(
    bert: tuple[PreTrainedModel, Path], tmp_path: Path
) -> None:
    model = copy.deepcopy(bert[0])
    with torch.no_grad():
        # A token that no text has.
        model.bert.embeddings.word_embeddings.weight[79] = 1e4
    ids = torch.tensor([[5, 9, 13, 21]])
    assert 79 not in ids
    graph.write_graph(model, tmp_path / "float.onnx")
    WRITERS["onnx_int8"](tmp_path / "float.onnx", tmp_path / GRAPH, ())
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "token_type_ids": torch.zeros_like(ids),
    }
    with torch.no_grad():
        expected = model(**inputs).logits
    [found] = OnnxModel(tmp_path).run(inputs)
    assert (found - expected).norm() < 0.1 * expected.norm()


@pytest.mark.parametrize("format", TOLERANCES)
def test_a_graph_names_no_folder_of_this_machine(
    bert: tuple[PreTrainedModel, Path], format: ExportFormat, tmp_path: Path
) -> None:
    WRITERS[format](bert[1], tmp_path / GRAPH, ())
    content = (tmp_path / GRAPH).read_bytes()
    assert str(Path(torch.__file__).parents[1]).encode() not in content
    assert b"stack_trace" not in content


@pytest.mark.slow
def test_a_model_of_few_positions(tmp_path: Path) -> None:
    model = scattered(tiny("bert", max_position_embeddings=8))
    graph.write_graph(model, tmp_path / GRAPH)
    assert distance(model, OnnxModel(tmp_path)) < rounding()


@pytest.mark.slow
def test_a_float32_graph_above_2_gb(tmp_path: Path) -> None:
    """As large as it must be for a file that protocol buffers cannot hold; nothing is computed with it."""
    model = tiny("distilbert", vocab_size=550_000, dim=1024, n_layers=1, n_heads=1, hidden_dim=8)
    graph.write_graph(model, tmp_path / "float.onnx")
    WRITERS["onnx"](tmp_path / "float.onnx", tmp_path / GRAPH, ())
    assert (tmp_path / f"{GRAPH}{WEIGHTS}").stat().st_size > 2_000_000_000
    assert distance(model, OnnxModel(tmp_path)) < rounding()


@pytest.mark.parametrize(
    "format", ["onnx_int8", *(pytest.param(name, marks=pytest.mark.slow) for name in ("onnx", "onnx_fp16"))]
)
def test_weights_of_a_large_model_lie_beside_the_graph(
    bodies: dict[str, Path], format: ExportFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a model above 2 GB, which no test has."""
    monkeypatch.setattr(graph, "WHOLE_BYTES", 1000)
    monkeypatch.setattr(formats, "WHOLE_BYTES", 1000)
    model = scattered(load_model(bodies["distilbert"]).eval())
    file = tmp_path / "float" / GRAPH
    file.parent.mkdir()
    graph.write_graph(model, file)
    assert {path.name for path in file.parent.iterdir()} == {GRAPH, f"{GRAPH}{WEIGHTS}"}
    folder = tmp_path / "made"
    folder.mkdir()
    WRITERS[format](file, folder / GRAPH, ())
    assert {path.name for path in folder.iterdir()} == {GRAPH, f"{GRAPH}{WEIGHTS}"}
    assert distance(model, OnnxModel(folder)) < TOLERANCES[format] / 4


def test_a_graph_of_another_model_is_refused(bert: tuple[PreTrainedModel, Path]) -> None:
    model, file = bert
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.classifier.weight.mul_(2)
    with pytest.raises(ModelError, match=r"outputs of onnx differ from the torch model's by 0"):
        check_equal(other, file.parent, "onnx")


def test_a_broken_graph_is_named(tmp_path: Path) -> None:
    (tmp_path / GRAPH).write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"model\.onnx: ONNX Runtime cannot load it"):
        OnnxModel(tmp_path)


def test_an_int8_model_keeps_its_layers_in_float(with_head: Any, wordpiece: Any, tmp_path: Path) -> None:
    model = scattered(with_head("distilbert", LABELS))
    layers = [name for name in quantizable(model) if "ffn" in name or "classifier" in name]
    quantized = with_int8(model, layers)
    folder = tmp_path / "model"
    folder.mkdir()
    save_model(quantized, wordpiece, folder)
    loaded = load_model(folder).eval()
    assert int8_layers(loaded) == layers
    made = tmp_path / "made"
    made.mkdir()
    assert export_model(loaded, wordpiece, made, "onnx_int8") < 0.05
    assert multiplied(made) == len(layers)
    assert {path.name for path in made.iterdir()} == {
        "config.json", GRAPH, "tokenizer.json", "tokenizer_config.json"
    }  # fmt: skip


@pytest.mark.slow
def test_a_table_that_an_int8_model_has_in_float_stays_so(
    with_head: Any, wordpiece: Any, tmp_path: Path
) -> None:
    model = scattered(with_head("enct5", LABELS))
    quantized = with_int8(model, quantizable(model))
    export_model(quantized, wordpiece, tmp_path, "onnx_int8")
    weights = onnx.load(tmp_path / GRAPH).graph.initializer
    floats = [
        weight for weight in weights if weight.data_type == onnx.TensorProto.FLOAT and len(weight.dims) == 2
    ]
    assert max(weight.dims[0] for weight in floats) == model.config.vocab_size
