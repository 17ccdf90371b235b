"""Datasets with copies, or with labels that a model gives: what follows, and what is refused."""

import pytest

from kdpipe.plan.jobs import all_jobs, job_of
from kdpipe.plan.sizes import rows_of
from kdpipe.plan.stages.preprocess import preprocess_settings
from tests.configs import write_model

MASK = {"dataset": "task", "method": "mask"}
REPLACE = {"dataset": "task", "method": "masked_lm", "model": "base", "copies": 3}
TABLE = {"source": "table", "path": "texts.csv", "text": "text"}
KL = [{"loss": "kl"}]
SMALL = {"create": {"architecture": {"family": "bert", "hidden_size": 24}, "tokenizer": "base"}}


def labelled(model="teacher", **more):
    return {**TABLE, "labels": {"from": model}, **more}


def finetune(dataset, model="base"):
    return {"finetune": {"model": model, "dataset": dataset}}


def test_an_augmented_dataset_takes_all_else_from_its_base(graph_of):
    graph = graph_of({
        "datasets.task.max_length": 64,
        "datasets.task.rows": 50,
        "datasets.d": {"augment": {**MASK, "probability": 0.3, "copies": 2}},
        "datasets.e": {"augment": MASK, "max_length": 32, "metrics": ["f1"]},
        "models.other": finetune("d"),
    })  # fmt: skip
    dataset, settings = graph.datasets["d"], preprocess_settings(graph, "d")
    assert (dataset.task, dataset.max_length, dataset.metrics[0]) == ("classification", 64, "accuracy")
    assert (rows_of(dataset), dataset.most_rows) == (150, 150)
    assert settings.copies.model_dump() == {"method": "mask", "options": {"probability": 0.3}, "copies": 2}
    assert settings.rows is None
    assert settings.sources == preprocess_settings(graph, "task").sources
    assert (graph.datasets["e"].max_length, graph.datasets["e"].metrics) == (32, ("f1",))
    assert "augmented" not in job_of(graph, "preprocess", "d", "base").inputs


def test_copies_of_a_combination_keep_its_sample(graph_of):
    graph = graph_of({
        "datasets.both": {"combine": ["task"], "rows": 10},
        "datasets.d": {"augment": {**MASK, "dataset": "both"}},
    })  # fmt: skip
    assert preprocess_settings(graph, "d").rows == 10
    assert rows_of(graph.datasets["d"]) == 20


def test_the_code_of_a_method_counts_where_it_is_used(graph_of):
    graph = graph_of({
        "datasets.d": {"augment": MASK},
        "datasets.e": {"augment": {**MASK, "method": "delete"}},
        "datasets.f": {"augment": REPLACE},
    })  # fmt: skip

    def modules(stage, *names):
        found = job_of(graph, stage, *names).modules
        return {name.rpartition(".")[2] for name in found if name.startswith("kdpipe.augmentation")}

    assert modules("preprocess", "d", "base") == {"mask"}
    assert modules("preprocess", "e", "base") == {"delete"}
    assert modules("preprocess", "f", "base") == modules("preprocess", "task", "base") == set()
    assert modules("augment", "f") == {"masked_lm"}


def test_copies_of_a_model_are_an_artifact(graph_of):
    graph = graph_of({"datasets.d": {"augment": REPLACE}, "models.other": finetune("d")})
    job = job_of(graph, "augment", "d")
    assert job.folder == graph.layout.augmented("d")
    assert job.inputs == {"model": [graph.layout.model("base")]}
    assert job.decisive()["settings"]["copies"] == {
        "method": "masked_lm", "options": {"probability": 0.4, "candidates": 15}, "copies": 3,
    }  # fmt: skip
    assert job.settings["dataset"] == preprocess_settings(graph, "task")
    encoded = job_of(graph, "preprocess", "d", "base")
    assert encoded.inputs["augmented"] == [job.folder]
    assert encoded.decisive()["settings"]["copied"]
    order = [job.folder for job in all_jobs(graph)]
    assert order.index(job.folder) < order.index(encoded.folder)


@pytest.mark.parametrize(
    ("place", "bf16"), [("base.pretrain", True), ("teacher.finetune", None), (None, None)]
)
def test_the_precision_is_that_of_the_training_that_made_the_model(graph_of, place, bf16):
    """Who else reads the model changes nothing."""
    changes = {f"models.{place}.training": {"bf16": True}} if place else {}
    graph = graph_of({**changes, "datasets.d": {"augment": REPLACE}})
    assert job_of(graph, "augment", "d").decisive()["settings"]["bf16"] is bf16


def test_labels_of_a_model_are_an_artifact(graph_of):
    graph = graph_of({
        "datasets.more": labelled(confidence=None),
        "datasets.both": {"combine": ["task", "more"], "proportions": [1, 2]},
        "datasets.d": {"augment": {**REPLACE, "dataset": "both"}},
        "models.other": finetune("d"),
        "models.another": finetune("both"),
    } | {"datasets.more": {**TABLE, "labels": {"from": "teacher", "confidence": 0.9}}})  # fmt: skip
    folder = graph.layout.augmented("more")
    assert graph.datasets["more"].task == "classification"
    assert job_of(graph, "augment", "more").decisive()["settings"]["confidence"] == 0.9
    assert job_of(graph, "augment", "more").decisive()["dataset"]["labelled"] == []
    assert preprocess_settings(graph, "both").labelled == (1,)
    assert job_of(graph, "preprocess", "both", "base").inputs["augmented"] == [folder]
    assert job_of(graph, "augment", "d").inputs["augmented"] == [folder]
    assert job_of(graph, "preprocess", "d", "base").inputs["augmented"] == [graph.layout.augmented("d")]
    assert list(graph.nodes).index("teacher") < list(graph.nodes).index("another")


def test_text_without_labels_is_enough_to_distil(graph_of):
    graph = graph_of({
        "datasets.more": {"source": "text", "path": "more.txt", "labels": {"from": "teacher"}},
        "models.small.extract.model": "teacher",
        "models.student.distill.dataset": "more",
    })  # fmt: skip
    assert graph.datasets["more"].task == "classification"
    assert preprocess_settings(graph, "more").sources[0]["labels"] == "none"


def test_a_loaded_model_names_the_labels(graph_of, tmp_path):
    config = {"model_type": "bert", "architectures": ["BertForSequenceClassification"]}
    folder = write_model(
        tmp_path / "model", {**config, "id2label": {"0": "no", "1": "yes"}}, ["classifier.weight"]
    )
    changes = {"models.judge": {"load": {"path": str(folder)}}}
    graph = graph_of({**changes, "datasets.more": labelled("judge", task="classification")})
    assert graph.datasets["more"].labels == ("no", "yes")


def test_a_model_may_be_scored_on_what_it_labels(graph_of):
    graph = graph_of({
        "datasets.more": labelled(),
        "models.teacher.finetune.evaluate": ["task", "more"],
    })  # fmt: skip
    assert graph.evaluated_on("teacher") == ("task", "more")


def test_placeholders_of_the_matrix(graph_of):
    graph = graph_of({
        "matrix": {"seed": [1, 2], "rate": [0.2]},
        "models.teacher-{seed}": finetune("task"),
        "datasets.more-{seed}": labelled("teacher-{seed}"),
        "datasets.d-{seed}-{rate}": {
            "augment": {**REPLACE, "dataset": "more-{seed}", "probability": "{rate}"}
        },
    })  # fmt: skip
    assert graph.datasets["d-2-0.2"].augmentation.dataset == "more-2"
    assert graph.datasets["d-2-0.2"].augmentation.probability == 0.2
    assert graph.datasets["more-2"].settings.labeller.model == "teacher-2"


@pytest.mark.parametrize(("augment", "mistake"), [
    ({"method": "maks"}, "method: 'maks' is not known; did you mean 'mask'?"),
    ({"method": "masked_lm"}, "model: is required"),
    ({"model": "base"}, "model: unknown key; there is copies, dataset, labels, method, probability"),
    ({"dataset": "tsk"}, "dataset: there is no dataset 'tsk'; did you mean 'task'?"),
    ({"method": "masked_lm", "model": "bse"}, "model: there is no model 'bse'; did you mean 'base'?"),
    ({"copies": 0}, "copies: should be greater than or equal to 1, found 0"),
    ({"copies": 10**6}, "copies: should be less than or equal to 1000"),
    ({"probability": 0}, "probability: should be greater than 0, found 0"),
    ({"probability": 1.5}, "probability: should be less than or equal to 1, found 1.5"),
    ({"labels": "some"}, "labels: 'some' is not known; "),
    ({"method": "ngram", "probabilities": [0.5]}, "probabilities: expected probabilities that add up to 1"),
    ({"method": "ngram", "probabilities": []}, "probabilities: expected probabilities that add up to 1"),
    ({"method": "short_disorder", "probabilities": [1]}, "probabilities: should have at least 5 items"),
    ({"method": "long_disorder", "length": 0}, "length: should be greater than 0, found 0"),
    ({"method": "masked_lm", "model": "base", "candidates": 0}, "candidates: should be greater than"),
    ({"dataset": "text"}, "dataset: 'text' is for language_modeling; examples of classification, regression"),
    ({"dataset": "words"}, "dataset: 'words' is for token_classification; examples of classification"),
    ({"dataset": "questions"}, "dataset: 'questions' is for question_answering; examples of classification"),
    ({"dataset": "copied"}, "dataset: 'copied' has copies already; augment 'task'"),
    (
        {"method": "masked_lm", "model": "teacher"},
        "model: 'teacher' must have a head for masked language modelling, found a head for classification",
    ),
    (
        {"method": "masked_lm", "model": "small"},
        "model: 'small' must have a head for masked language modelling, found no head; name the pretrained",
    ),
    (
        {"method": "masked_lm", "model": "gpt"},
        "model: 'gpt' must have a head for masked language modelling, found a gpt2",
    ),
])  # fmt: skip
def test_augmentations_that_are_refused(mistakes_of, tmp_path, augment, mistake):
    gpt = write_model(tmp_path / "gpt", {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]})
    [found] = mistakes_of({
        "datasets.words": {"source": "conll", "path": "conll"},
        "datasets.questions": {"source": "squad", "path": "squad"},
        "datasets.copied": {"augment": MASK},
        "models.small": SMALL,
        "models.student.distill.student": "base",
        "models.gpt": {"load": {"path": str(gpt)}},
        "datasets.d": {"augment": {**MASK, **augment}},
    })  # fmt: skip
    assert found.startswith(f"datasets.d.augment.{mistake}")


@pytest.mark.parametrize(("dataset", "mistake"), [
    ({"augment": MASK, "rows": 3}, "rows: give `rows` to the dataset that is augmented"),
    ({"augment": MASK, "labels": "none"}, "labels: give `labels: none` within `augment`"),
    ({"augment": MASK, "stride": 64}, "stride: only question_answering cuts long texts"),
    ({"augment": "task"}, "augment: expected a mapping with the key `method`, found 'task'"),
    ({"combine": ["copied", "task"]}, "combine: 'copied' has copies; combine first, and then augment the"),
    (labelled("techer"), "labels.from: there is no model 'techer'; did you mean 'teacher'?"),
    (labelled("base"), "labels.from: 'base' has a head for language_modeling; a model with one head labels"),
    (labelled("small"), "labels.from: 'small' has no head; a model with one head labels"),
    (labelled(task="regression"), "task: the head of 'teacher' is for classification, found 'regression'"),
    ({**TABLE, "labels": {"from": "teacher", "confidence": 1.5}}, "labels.confidence: should be less"),
    ({**TABLE, "labels": {"confidence": 0.5}}, "labels.from: is required"),
    ({**TABLE, "labels": {"from": "scorer", "confidence": 0.5}}, "labels.confidence: is for classif"),
    (
        {"source": "glue", "name": "STS-B", "path": "x", "labels": {"from": "teacher"}},
        "labels.from: 'teacher' labels for classification, but the source has examples of regression",
    ),
    (labelled("far"), "task: is required, as the head of 'far' may be for classification or reg"),
])  # fmt: skip
def test_datasets_that_are_refused(mistakes_of, dataset, mistake):
    [found] = mistakes_of({
        "datasets.copied": {"augment": MASK},
        "datasets.similar": {"source": "glue", "name": "STS-B", "path": "STS-B"},
        "models.scorer": finetune("similar"),
        "models.small": SMALL,
        "models.student.distill.student": "base",
        "models.far": {"load": {"path": "someone/something"}},
        "datasets.d": dataset,
    })  # fmt: skip
    assert found.startswith(f"datasets.d.{mistake}")


def test_masked_words_need_a_mask_token(mistakes_of, tmp_path):
    gpt = write_model(tmp_path / "gpt", {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]})
    given = {
        "datasets.d": {"augment": MASK},
        "models.gpt": {"load": {"path": str(gpt)}},
        "models.tuned": {"finetune": {"model": "gpt", "dataset": "d"}},
    }
    assert mistakes_of(given) == [
        "models.tuned.finetune.dataset: 'd' masks words, but the tokenizer of 'tuned' has no mask token; "
        "take another method, or a model whose tokenizer has one"
    ]
    assert mistakes_of({**given, "datasets.d": {"augment": {**MASK, "method": "delete"}}}) == []
    (gpt / "tokenizer_config.json").write_text('{"mask_token": "<mask>"}')
    assert mistakes_of(given) == []


def test_a_model_with_several_heads_labels_nothing(mistakes_of):
    [mistake] = mistakes_of({
        "datasets.similar": {"source": "glue", "name": "STS-B", "path": "STS-B"},
        "models.both": {"finetune": {"model": "base", "dataset": ["task", "similar"]}},
        "datasets.d": labelled("both"),
    })  # fmt: skip
    assert mistake.startswith("datasets.d.labels.from: 'both' has a head for each of task, similar; a model")


def test_pairs_need_a_model_with_two_segments(mistakes_of):
    [mistake] = mistakes_of({
        "models.base.pretrain.architecture.type_vocab_size": 1,
        "datasets.task": {"source": "glue", "name": "SST-2", "path": "SST-2"},
        "datasets.d": labelled(text_pair="other"),
    })  # fmt: skip
    assert mistake.startswith("datasets.d.labels.from: the source has pairs of texts, but 'teacher' cannot")


def test_losses_of_labels_need_them(mistakes_of):
    none = {"datasets.d": {"augment": {**MASK, "labels": "none"}}}
    found = mistakes_of({
        **none,
        "models.tuned": finetune("d"),
        "models.student.distill": {
            "teacher": "teacher", "student": "small", "dataset": "d", "losses": [*KL, {"loss": "hard"}],
        },
    })  # fmt: skip
    assert sorted(found) == [
        "models.student.distill.losses[1]: hard needs labels, 'd' has `labels: none`",
        "models.tuned.finetune.dataset: 'd' has `labels: none`; fine-tuning needs labels",
    ]


def test_circles_through_models_are_told_by_name(mistakes_of):
    student = {"teacher": "teacher", "student": "small", "losses": KL}
    assert mistakes_of({
        "datasets.more": labelled("student"),
        "models.student.distill": {**student, "dataset": "more"},
    }) == ["models.student: models are made from each other: student -> dataset more -> student"]  # fmt: skip


def test_circles_through_several_datasets(mistakes_of):
    found = mistakes_of({
        "datasets.more": labelled("best"),
        "datasets.both": {"combine": ["task", "more"]},
        "datasets.d": {"augment": {**MASK, "dataset": "both"}},
        "models.teacher.finetune.dataset": "d",
        "models.best": {"select": {"among": ["teacher"], "dataset": "task"}},
    })  # fmt: skip
    way = "teacher -> best -> dataset d -> teacher"
    assert found == [f"models.teacher: models are made from each other: {way}"]


def test_datasets_that_augment_each_other(mistakes_of):
    assert mistakes_of({
        "datasets.d": {"augment": {**MASK, "dataset": "e"}},
        "datasets.e": {"augment": {**MASK, "dataset": "d"}},
    }) == ["datasets.d: datasets are made from each other: d -> e -> d"]  # fmt: skip


def test_what_depends_on_a_mistake_is_told_once(mistakes_of):
    assert mistakes_of({
        "models.teacher.finetune.model": "bse",
        "datasets.more": labelled("teacher"),
        "models.other": finetune("more"),
    }) == ["models.teacher.finetune.model: there is no model 'bse'; did you mean 'base'?"]  # fmt: skip
