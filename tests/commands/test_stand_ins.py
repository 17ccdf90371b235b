"""Random models in place of existing models: their heads and labels."""

import pytest

from kdpipe.commands.stand_ins import stand_in
from kdpipe.errors import ConfigError
from kdpipe.plan.build import build_graph

SST2 = {"source": "glue", "name": "SST-2", "path": "SST-2"}
ENTITIES = {"source": "conll", "path": "conll", "classes": ["PER"]}
QUESTIONS = {"source": "squad", "path": "squad", "max_length": 384}


@pytest.fixture
def head_of(tmp_path):
    """A function that returns task and labels of a loaded model's stand-in in a config."""

    def make(load, dataset=SST2, **models):
        config = {"datasets": {"task": dataset}, "models": {"model": {"load": load}, **models}}
        model = stand_in(build_graph(config), "model", tmp_path)
        return model.task, model.labels

    return make


def test_a_model_of_which_only_a_name_is_known_predicts_tokens_where_its_family_does(head_of):
    assert head_of({"path": "bert-base-uncased"}) == ("language_modeling", None)
    assert head_of({"path": "t5-small"}) == ("", None)


def test_a_head_of_its_own_is_kept(head_of, classifier, reader, language_model):
    assert head_of({"path": str(classifier)}) == ("classification", ("0", "1"))
    assert head_of({"path": str(classifier), "labels": ["no", "yes"]}) == ("classification", ("no", "yes"))
    assert head_of({"path": str(reader)}) == ("question_answering", None)
    assert head_of({"path": str(language_model)}) == ("language_modeling", None)


@pytest.mark.parametrize(
    ("dataset", "labels", "task"),
    [(SST2, ["0", "1"], "classification"), (ENTITIES, ["O", "B-PER", "I-PER"], "token_classification")],
)
def test_labels_name_the_outputs_of_a_head_for_the_data_that_it_is_scored_on(head_of, dataset, labels, task):
    load = {"path": "some/bert", "labels": labels, "evaluate": "task"}
    assert head_of(load, dataset) == (task, tuple(labels))


def test_labels_are_of_a_classifier_whatever_else_it_is_scored_on(head_of):
    load = {"path": "some/bert", "labels": ["no", "yes"], "evaluate": "task"}
    text = {"source": "text", "task": "language_modeling", "path": "text"}
    assert head_of(load, text) == ("classification", ("no", "yes"))


def test_a_model_that_labels_or_copies_has_the_head_for_it(tmp_path):
    text = {"source": "table", "path": "t", "text": "t", "task": "regression", "labels": {"from": "model"}}
    copies = {"augment": {"dataset": "task", "method": "masked_lm", "model": "words"}}
    models = {name: {"load": {"path": "some/bert"}} for name in ("model", "words")}
    datasets = {"task": SST2, "text": text, "copies": copies}
    graph = build_graph({"datasets": datasets, "models": models})
    assert stand_in(graph, "model", tmp_path).task == "regression"
    assert stand_in(graph, "words", tmp_path).task == "language_modeling"


def test_a_teacher_of_questions_needs_no_labels(head_of):
    student = {"create": {"architecture": {"family": "bert"}, "tokenizer": "model"}}
    distilled = {
        "distill": {"teacher": "model", "student": "small", "dataset": "task", "losses": [{"loss": "kl"}]}
    }
    assert (
        head_of({"path": "some/bert"}, QUESTIONS, small=student, distilled=distilled)[0]
        == "question_answering"
    )


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("google-bert/bert_uncased", "bert"),
        ("distilbert-base-cased", "distilbert"),
        ("distilbert/distilroberta-base", "roberta"),
    ],
)
def test_a_family_is_a_part_of_a_name(tmp_path, path, family):
    graph = build_graph({"datasets": {}, "models": {"model": {"load": {"path": path}}}})
    assert stand_in(graph, "model", tmp_path).shape.family == family


@pytest.mark.parametrize("path", ["albert-base-v2", "microsoft/deberta-v3-small", "google/mt5-small"])
def test_a_family_is_not_told_by_a_piece_of_a_word(tmp_path, path):
    graph = build_graph({"datasets": {}, "models": {"model": {"load": {"path": path}}}})
    with pytest.raises(ConfigError, match=r"models\.model\.load\.path: the family of .* is unknown"):
        stand_in(graph, "model", tmp_path)


def test_classes_that_nobody_names(head_of):
    cut = {"extract": {"model": "model", "layers": "first:2", "evaluate": "task"}}
    with pytest.raises(
        ConfigError, match=r"models\.model\.load\.labels: the classes of 'some/bert' are unknown"
    ):
        head_of({"path": "some/bert"}, cut=cut)
    assert head_of({"path": "some/bert"}) == ("language_modeling", None)
