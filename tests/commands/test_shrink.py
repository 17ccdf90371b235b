"""A config in small: the same graph, valid, with one value of each variable."""

import json
from pathlib import Path

import pytest

from kdpipe.adapters.sources import source_of
from kdpipe.commands.samples import write_model, write_sample
from kdpipe.commands.shrink import shrink
from kdpipe.config.document import read_config
from kdpipe.errors import ConfigError, KdpipeError
from kdpipe.plan.build import build_graph
from kdpipe.plan.saved.knowledge import FILE
from kdpipe.plan.stages.preprocess import preprocess_settings
from tests.plan.test_knowledge import STORED

CONFIG = Path(__file__).parents[2] / "config"
PAPERS = {
    "rosita": ["rosita.yaml"],
    "minidisc": ["minidisc.yaml"],
    "maxidisc": ["minidisc.yaml", "maxidisc.yaml"],
}
MODELS = {"base": {"load": {"path": "some/roberta-base"}}}
TRAINED = {**MODELS, "model": {"finetune": {"model": "base", "dataset": "task"}}}
GLUE = {"source": "glue", "name": "SST-2", "path": "SST-2"}


def samples(small):
    return [entry.name for entry in (*small.datasets, *small.models)]


@pytest.fixture
def in_small(tmp_path, monkeypatch):
    """A function that shrinks a config where no data are at hand, and makes up what it needs."""
    monkeypatch.setenv("KDPIPE_DATA", str(tmp_path / "nothing"))

    def make(config, **values):
        small = shrink(config, tmp_path, values, lambda settings: source_of(settings).splits())
        for dataset in small.datasets:
            write_sample(dataset.sources[0], dataset.task)
        for model in small.models:
            write_model(model)
        return small, build_graph(small.config)

    return make


@pytest.fixture
def paper(in_small):
    """A function that shrinks a shipped config."""

    def make(name, **values):
        return in_small(read_config([CONFIG / file for file in PAPERS[name]]), **values)

    return make


@pytest.mark.parametrize("name", PAPERS)
def test_a_shipped_config_keeps_a_model_of_each_kind(paper, name):
    small, graph = paper(name)
    config = read_config([CONFIG / file for file in PAPERS[name]])
    stages = {
        template: next(iter(given)) for template, given in config["models"].items() if template != "cased"
    }
    assert {node.template: node.stage for node in graph.nodes.values()} == stages
    assert samples(small) == ["cola", "bert" if name == "rosita" else "uncased"]


def test_models_are_as_deep_with_as_many_heads_but_narrow(paper):
    _, graph = paper("rosita")
    bert, pruned = graph.facts["bert"].shape, graph.facts["pruned-cola"].shape
    assert (bert.depth, bert.width, bert.heads, bert.neurons) == (12, 48, 12, 192)
    assert (pruned.depth, pruned.heads, pruned.neurons) == (6, 2, 48)
    assert graph.nodes["pruned-cola"].settings.embedding_rank == 8


def test_sizes_shrink_as_the_student_that_a_model_is_made_from_does(in_small):
    teacher = {"create": {"architecture": {"family": "bert", "hidden_size": 384}, "tokenizer": "base"}}
    losses = [{"loss": "soft_cross_entropy"}]
    distilled = {"teacher": "tuned", "student": "base", "dataset": "task", "losses": losses}
    models = {
        "teacher": teacher,
        "tuned": {"finetune": {"model": "teacher", "dataset": "task"}},
        "model": {"distill": distilled},
        "pruned": {"prune": {"model": "model", "intermediate_size": 2400}},
    }
    _, graph = in_small({"datasets": {"task": GLUE}, "models": MODELS | models})
    assert (graph.facts["model"].shape.neurons, graph.facts["pruned"].shape.neurons) == (192, 150)


def test_models_that_have_different_tokenizers_keep_such(in_small):
    models = {name: {"load": {"path": f"bert-base-{name}", "evaluate": []}} for name in ("cased", "uncased")}
    heads = {f"{name}-task": {"finetune": {"model": name, "dataset": "task"}} for name in models}
    _, graph = in_small({"datasets": {"task": GLUE}, "models": models | heads})
    assert graph.facts["uncased-task"].tokenizer == "uncased"
    assert graph.facts["cased-task"].tokenizer == "cased"


def test_what_other_values_need_is_left_out(paper):
    small, graph = paper("minidisc", task="conll")
    assert samples(small) == ["conll", "cased"]
    assert "uncased" not in graph.nodes


def test_the_parts_of_a_dataset_that_is_read_are_kept(in_small):
    part = {"source": "text", "task": "language_modeling"}
    datasets = {name: {**part, "path": name} for name in ("first", "second", "third")}
    both = {"combine": ["first", "second"]}
    trained = {"finetune": {"model": "base", "dataset": "both"}}
    small, graph = in_small({"datasets": {**datasets, "both": both}, "models": {**MODELS, "model": trained}})
    assert set(graph.datasets) == {"first", "second", "both"}
    assert samples(small) == ["first", "second", "base"]


def test_what_models_make_of_datasets_is_made_in_small(in_small):
    text = {"source": "text", "path": "texts", "labels": {"from": "model", "confidence": 0.9}}
    copies = {"augment": {"dataset": "task", "method": "masked_lm", "model": "words", "copies": 3}}
    masked = {"augment": {"dataset": "texts", "method": "mask"}}
    models = {
        "words": {"load": {"path": "some/distilbert", "evaluate": []}},
        "copied": {"finetune": {"model": "base", "dataset": "copies"}},
        "masked": {"finetune": {"model": "base", "dataset": "masked", "evaluate": []}},
    }
    datasets = {"task": GLUE, "texts": text, "copies": copies, "masked": masked, "unread": GLUE}
    small, graph = in_small({"datasets": datasets, "models": TRAINED | models})
    assert set(graph.datasets) == {"task", "texts", "copies", "masked"}
    assert samples(small) == ["task", "texts", "base", "words"]
    assert graph.datasets["texts"].settings.labeller.confidence is None
    assert graph.facts["words"].head == "language_modeling"
    assert graph.datasets["copies"].augmentation.copies == 3


def test_trainings_take_two_steps_and_keep_the_rest(paper):
    _, graph = paper("rosita")
    hidden = graph.nodes["hidden-cola-1"].settings.training.model_dump(exclude_unset=True)
    assert hidden["max_steps"] == 2
    assert (hidden["learning_rate"], hidden["lr_scheduler_type"]) == (5e-5, "constant")
    assert "num_train_epochs" not in hidden


def test_signals_of_small_teachers_are_not_shared(in_small, tmp_path):
    shared = {"knowledge_dir": str(tmp_path / "all")}
    _, graph = in_small({"datasets": {"task": GLUE}, "models": TRAINED, **shared})
    assert graph.document.knowledge_dir is None


def test_another_value_is_kept_where_it_is_asked_for(paper):
    small, graph = paper("minidisc", task="conll", seed="2")
    assert list(small.config["matrix"]["task"]) == ["conll"]
    assert graph.facts["minidisc-conll-2"].head == "token_classification"


def test_other_values_are_those_beside_the_wanted_one(in_small):
    blocks = [{"task": ["sst2"], "share": [0.5]}, {"task": ["stsb"], "share": [0.1]}]
    small, _ = in_small({"matrix": blocks, "datasets": {"task": GLUE}, "models": TRAINED}, task="stsb")
    assert small.config["matrix"] == {"task": ["stsb"], "share": [0.1]}


def test_a_block_is_kept_where_no_other_has_its_variables(in_small):
    blocks = [{"kind": {"a": {"n": 1}}, "heads": [6]}, {"kind": {"b": {"m": 2}}, "layers": [3]}]
    models = {
        "tuned-{kind}": {"finetune": {"model": "base", "dataset": "task"}},
        "model-{kind}-{heads}": {
            "prune": {"model": "tuned-{kind}", "heads": "{heads}", "seed": "{kind.n}", "evaluate": []},
        },
        "model-{kind}-{layers}": {
            "prune": {"model": "tuned-{kind}", "layers": "{layers}", "seed": "{kind.m}", "evaluate": []},
        },
    }
    plots = [{"x": "heads", "y": "accuracy"}, {"x": "parameters", "y": "accuracy", "by": "kind"}]
    report = {"baseline": "tuned-{kind}", "plots": plots}
    config = {"matrix": blocks, "datasets": {"task": GLUE}, "models": MODELS | models, "report": report}
    small, graph = in_small(config)
    assert small.config["matrix"] == blocks
    assert set(graph.nodes) == {"base", "tuned-a", "tuned-b", "model-a-6", "model-b-3"}
    assert graph.nodes["model-a-6"].variables == {"kind": "a", "heads": 6}
    # None shows `heads` in the whole config either, which is worth knowing.
    assert small.config["report"] == {"plots": plots[:1]}


def test_blocks_keep_the_value_that_they_share(in_small):
    blocks = [{"task": ["rte", "sst2"], "heads": [6]}, {"task": ["sst2"], "layers": [3]}, {"task": ["cola"]}]
    small, _ = in_small({"matrix": blocks, "datasets": {"task": GLUE}, "models": TRAINED})
    assert small.config["matrix"] == [{"task": ["sst2"], "heads": [6]}, {"task": ["sst2"], "layers": [3]}]


def test_values_that_no_block_has_together(in_small):
    blocks = [{"task": ["sst2"], "share": [0.5]}, {"task": ["stsb"], "share": [0.1, 0.5]}]
    with pytest.raises(ConfigError, match=r"matrix: no block has task=sst2 and share=0\.1 together"):
        in_small({"matrix": blocks, "datasets": {"task": GLUE}, "models": TRAINED}, task="sst2", share="0.1")


def test_a_name_of_what_is_not_kept(in_small):
    models = {
        "tuned-{kind}": {"finetune": {"model": "base", "dataset": "task"}},
        "model": {"finetune": {"model": "tuned-b", "dataset": "task"}},
    }
    config = {"matrix": {"kind": ["a", "b"]}, "datasets": {"task": GLUE}, "models": MODELS | models}
    kept = "but the small graph has only kind=a; `--value VARIABLE=VALUE` chooses another"
    with pytest.raises(KdpipeError, match=rf"models\.model\.finetune\.model: there is no (?s:.*){kept}"):
        in_small(config)
    assert "model" in in_small(config, kind="b")[1].nodes


def test_a_student_of_the_teachers_of_all_seeds_has_those_that_are_kept(in_small):
    terms = [{"loss": "kl"}, {"loss": "hidden_mse", "layers": "last", "teacher": "teacher-1"}]
    student = {"teacher": ["teacher-{seed}"], "student": "base", "dataset": "task", "losses": terms}
    models = {
        "teacher-{seed}": {"finetune": {"model": "base", "dataset": "task", "seed": "{seed}"}},
        "student": {"distill": {**student, "ensemble": {"average": "probabilities", "weights": [1, 2, 3]}}},
    }
    config = {"matrix": {"seed": [1, 2, 3]}, "datasets": {"task": GLUE}, "models": MODELS | models}
    assert in_small(config)[1].nodes["student"].settings.teachers == ("teacher-1",)
    models["student"] = {"distill": student}
    config = {"matrix": {"seed": [1, 2, 3]}, "datasets": {"task": GLUE}, "models": MODELS | models}
    config = {**config, "defaults": {"distill": {"ensemble": {"weights": [1, 2, 3]}}}}
    assert in_small(config)[1].nodes["student"].settings.ensemble is None


def test_a_report_keeps_what_is_of_the_models_that_are_kept(in_small, write):
    published = write("model,dataset,metric,value\nmodel-b,task-b,accuracy,1\n", "published.csv")
    plots = [{"x": "parameters", "y": metric} for metric in ("matthews", "accuracy")]
    report = {"title": "Tasks", "baseline": "model-b", "published": str(published), "plots": plots}
    datasets = {
        "task-{task}": {"source": "glue", "name": "{task.name}", "path": "{task.name}"},
    }
    models = MODELS | {"model-{task}": {"finetune": {"model": "base", "dataset": "task-{task}"}}}
    matrix = {"task": {"a": {"name": "SST-2"}, "b": {"name": "CoLA"}}}
    config = {"matrix": matrix, "datasets": datasets, "models": models, "report": report}
    assert in_small(config)[0].config["report"] == {"title": "Tasks", "plots": plots[1:]}
    kept = {"title": "Tasks", "baseline": "model-b", "plots": plots[:1]}
    assert in_small(config, task="b")[0].config["report"] == kept


def test_the_models_that_are_kept_are_measured(in_small):
    seeds = {"model-{seed}": {"finetune": {"model": "base", "dataset": "task", "seed": "{seed}"}}}
    other = {"unread": {"load": {"path": "some/distilbert"}}}
    latency = {"batch": [4], "threads": 2}
    config = {"matrix": {"seed": [1, 2]}, "datasets": {"task": GLUE}, "models": MODELS | seeds | other}
    measure = {"models": ["model-{seed}", "base", "unread"], "latency": latency}
    small, graph = in_small({**config, "measure": measure})
    assert small.config["measure"] == {"models": ["model-1", "base"], "latency": latency}
    assert graph.measured == ("model-1", "base")
    assert in_small({**config, "measure": measure}, seed="2")[1].measured == ("model-2", "base")
    assert "measure" not in in_small({**config, "measure": {"models": ["model-2", "unread"]}})[0].config
    assert "measure" not in in_small(config)[0].config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"task": "sst"}, r"matrix\.task: there is no value 'sst'; did you mean 'sst2'\?"),
        ({"tsk": "sst2"}, r"matrix: there is no variable 'tsk'; did you mean 'task'\?"),
    ],
)
def test_a_value_or_a_variable_that_is_not_there(paper, values, message):
    with pytest.raises(ConfigError, match=message):
        paper("minidisc", **values)


def test_a_mistake_in_what_is_left_out_is_told(in_small):
    matrix = {"task": {"sst2": {"folder": "SST-2"}, "rte": {}}}
    config = {"matrix": matrix, "datasets": {"{task}": {**GLUE, "path": "{task.folder}"}}, "models": MODELS}
    with pytest.raises(ConfigError, match="task 'rte' has no field 'folder'"):
        in_small(config)


def test_of_data_that_are_there_some_rows_of_every_split_are_read(in_small, sst2):
    config = {
        "datasets": {"task": {**GLUE, "path": str(sst2), "rows": 5000}},
        "models": TRAINED,
    }
    small, graph = in_small(config)
    rows = {"train": 64, "validation": 64}
    assert small.config["datasets"]["task"] == {**GLUE, "path": str(sst2), "rows": rows}
    assert small.datasets == []
    assert graph.facts["base"].shape.family == "roberta"


@pytest.mark.parametrize("parts", [{}, {"both": {"combine": ["task", "more"]}, "more": GLUE}])
def test_all_rows_of_test_splits_are_read_where_they_are_submitted(in_small, sst2, parts):
    data = {"task": {**GLUE, "path": str(sst2), "splits": {"test_hard": str(sst2 / "dev.tsv")}}, **parts}
    model = {"finetune": {"model": "base", "dataset": "task", "submit": list(parts)[:1] or ["task"]}}
    small, _ = in_small({"datasets": data, "models": {**MODELS, "model": model}})
    assert small.config["datasets"]["task"]["rows"] == {"train": 64, "validation": 64}


@pytest.mark.parametrize(
    ("given", "classes"),
    [
        ({"source": "glue", "name": "RTE", "hub": "nyu-mll/glue"}, ("entailment", "not_entailment")),
        (
            {
                "source": "table",
                "hub": "some/films",
                "name": "long",
                "task": "classification",
                "text": "review",
                "label": "verdict",
                "classes": ["bad", "good"],
            },
            ("bad", "good"),
        ),
    ],
)
def test_data_of_the_hub_are_made_up_as_files(in_small, given, classes):
    _, graph = in_small({"datasets": {"task": given}, "models": TRAINED})
    source = source_of(preprocess_settings(graph, "task"))
    assert source.labels == classes
    assert graph.fetches == {}


def test_data_that_are_made_up_are_not_written_as_the_users_are(in_small):
    data = {"source": "table", "task": "classification", "path": "t.csv", "text": "t", "label": "l"}
    written = {"delimiter": ";", "encoding": "utf-16"}
    _, graph = in_small({"datasets": {"task": {**data, **written}}, "models": TRAINED})
    source = source_of(preprocess_settings(graph, "task"))
    assert sum(1 for _ in source.read("train")) == 64


def test_further_splits_are_made_up_too(in_small):
    _, graph = in_small({"datasets": {"task": {**GLUE, "splits": {"hard": "hard.tsv"}}}, "models": TRAINED})
    source = source_of(preprocess_settings(graph, "task"))
    assert source.splits() == ("train", "validation", "test", "hard")
    assert sum(1 for _ in source.read("hard")) == 64


def test_a_model_of_a_family_that_its_name_does_not_tell(in_small):
    with pytest.raises(ConfigError, match=r"models\.base\.load\.path: the family of 'some/model' is unknown"):
        in_small(
            {"datasets": {"task": GLUE}, "models": {**TRAINED, "base": {"load": {"path": "some/model"}}}}
        )


def test_stored_signals_that_stand_for_a_teacher(in_small, tmp_path):
    (tmp_path / FILE).write_text(json.dumps(STORED))
    (tmp_path / "SHA256SUMS").touch()
    distill = {
        "student": "base",
        "dataset": "task",
        "knowledge": {"tokens": 10, "hidden": 0.1, "from": str(tmp_path)},
    }
    losses = [{"loss": "hidden_mse", "layers": [[4, 12]], "projection": {"kind": "linear"}}]
    what = (
        "models.student.distill.knowledge.from: a small student cannot learn from signals of full size;"
        " shrink a config that names a `teacher`"
    )
    with pytest.raises(ConfigError) as error:
        in_small(
            {
                "datasets": {"task": GLUE},
                "models": {**MODELS, "student": {"distill": {**distill, "losses": losses}}},
            }
        )
    assert [str(problem) for problem in error.value.problems] == [what]


def test_a_small_choice_goes_by_scores_alone(in_small):
    constraint = {"fastest": {"within": 0.01, "of": "model"}, "export": ["onnx_int8"]}
    models = {
        **TRAINED,
        "int8": {"quantize": {"model": "model"}},
        "best": {"select": {"among": ["model", "int8"], "dataset": "task", **constraint}},
    }
    measure = {"models": ["model", "int8"]}
    _, graph = in_small({"datasets": {"task": GLUE}, "models": models, "measure": measure})
    settings = graph.nodes["best"].settings
    assert (settings.constraint, settings.export) == ("", ("onnx_int8",))
    assert graph.nodes["int8"].settings.model == "model"
