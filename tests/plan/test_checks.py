import sys

import pytest

from kdpipe.plan.jobs import job_of
from tests.configs import write_model

STUDENT = "models.student.distill"
UNLABELLED = {"datasets.unlabelled": {"source": "glue", "name": "MRPC", "path": "glue", "labels": "none"}}


@pytest.fixture
def other(tmp_path):
    """Another model, wider, with its own tokenizer and shorter positions; as `load` names it."""
    config = {"model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": 700}
    config |= {
        "hidden_size": 36,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "max_position_embeddings": 160,
    }
    return {"load": {"path": str(write_model(tmp_path, config))}}


def test_a_config_without_mistakes(mistakes_of):
    assert mistakes_of({}) == []


def test_pretraining_needs_text(mistakes_of):
    assert mistakes_of({"models.base.pretrain.dataset": "task"}) == [
        "models.base.pretrain.dataset: expected a language_modeling dataset, 'task' is for classification"
    ]


def test_training_with_labels_needs_labels(mistakes_of):
    losses = [{"loss": "kl"}, {"loss": "hard"}, {"loss": "hard", "weight": 0}]
    assert mistakes_of({
        **UNLABELLED,
        "models.a": {"finetune": {"model": "base", "dataset": "unlabelled"}},
        f"{STUDENT}.dataset": "unlabelled",
        f"{STUDENT}.losses": losses,
    }) == [
        "models.a.finetune.dataset: 'unlabelled' has `labels: none`; fine-tuning needs labels",
        "models.student.distill.losses[1]: hard needs labels, 'unlabelled' has `labels: none`",
    ]  # fmt: skip


def test_text_has_the_labels_that_are_masked(mistakes_of):
    assert mistakes_of({"datasets.text.labels": "none"}) == []


def test_a_teacher_of_logits_needs_the_head_of_the_dataset(mistakes_of):
    assert mistakes_of({f"{STUDENT}.teacher": "base"}) == [
        "models.student.distill.teacher: 'task' is for classification, "
        "but 'base' has a head for language_modeling; name a model trained for classification"
    ]
    assert mistakes_of({f"{STUDENT}.losses": [{"loss": "hidden_mse"}, {"loss": "kl", "weight": 0}]}) == []


def test_a_model_is_scored_with_the_head_it_has(mistakes_of):
    assert mistakes_of({"models.small.extract.evaluate": ["text", "task"], "models.a": {"create": {
        "architecture": {"family": "bert"}, "tokenizer": "base", "evaluate": ["task"]
    }}}) == [
        "models.small.extract.evaluate: 'task' is for classification, but 'small' has a head for "
        "language_modeling; name a model trained for classification",
        "models.a.create.evaluate: 'task' is for classification, but 'a' has no head; "
        "name a model trained for classification",
    ]  # fmt: skip
    assert mistakes_of({"models.a": {"select": {"among": ["teacher", "small"], "dataset": "task"}}})[
        -1
    ].startswith("models.a.select.among: 'task' is for classification, but 'small' has a head")


def test_labels_are_submitted_of_examples_only(mistakes_of):
    assert mistakes_of({"models.teacher.finetune.submit": ["task", "text"]}) == [
        "models.teacher.finetune.submit: 'text' is for language_modeling; labels are submitted of "
        "classification and regression"
    ]


@pytest.mark.parametrize("rows", [{"test": 9}, {"train": 5, "test_mismatched": 9}])
def test_a_sampled_test_split_is_not_submitted(mistakes_of, rows):
    (split,) = rows.keys() - {"train"}
    glue = {"source": "glue", "name": "MRPC", "path": "glue/MRPC"}
    datasets = {"datasets.sampled": {**glue, "rows": rows}, "datasets.both": {"combine": ["sampled", "task"]}}
    for name in ("sampled", "both"):
        assert mistakes_of({**datasets, "models.teacher.finetune.submit": name}) == [
            f"models.teacher.finetune.submit: '{name}' has a sample of '{split}', but all rows are "
            "submitted; take it out of `rows`"
        ]


def test_weights_that_are_all_zero(mistakes_of):
    losses = [{"loss": "kl", "weight": 0}, {"loss": "hard", "weight": 0.0}]
    assert mistakes_of({f"{STUDENT}.losses": losses}) == [
        "models.student.distill.losses: all weights are 0, so nothing would be learned"
    ]


@pytest.mark.parametrize(
    ("given", "mistake"),
    [
        ({"metric": "f2"}, "metric: 'task' has no metric 'f2'; there is accuracy, accuracy_and_f1, f1"),
        ({"split": "train"}, "split: models are scored on held-out splits; give `validation` or `test`"),
        ({"split": "validaton"}, "split: 'task' has no split 'validaton'; did you mean 'validation'?"),
    ],
)
def test_a_choice_is_made_by_a_score_that_exists(mistakes_of, given, mistake):
    best = {"models.best": {"select": {"among": ["student"], "dataset": "task", **given}}}
    assert mistakes_of(best) == [f"models.best.select.{mistake}"]


def test_the_best_checkpoint_goes_by_a_metric_of_the_task(mistakes_of):
    place = "models.teacher.finetune.training.metric_for_best_model"
    assert mistakes_of({place: "eval_acuracy"}) == [
        f"{place}: 'task' has no metric 'acuracy'; did you mean 'accuracy'?"
    ]
    assert mistakes_of({place: "matthews"}) == []
    tags = {"datasets.task": {"source": "conll", "path": "conll"}}
    assert mistakes_of({**tags, place: "f1:PER"}) == []


def test_labels_are_learned_where_there_are_labels(mistakes_of):
    terms = [{"loss": "kl", "positions": "all"}, {"loss": "hard", "positions": "all"}]
    text = {"teacher": "base", "student": "small", "dataset": "text", "cache": "off", "losses": terms}
    assert mistakes_of({"models.d": {"distill": text}}) == [
        "models.d.distill.losses[1].positions: this loss compares outputs where there are labels; remove this"
    ]


def test_masked_positions_are_of_text(mistakes_of):
    assert mistakes_of({f"{STUDENT}.losses[1].positions": "masked"}) == [
        "models.student.distill.losses[1].positions: `masked` needs tokens with labels, "
        "classification has none"
    ]


@pytest.mark.parametrize(("layers", "what"), [
    ([[5, 1]], "teacher layers 0 to 4 and student layers 0 to 2 exist, found the pair [5, 1]"),
    ([[4, 3]], "teacher layers 0 to 4 and student layers 0 to 2 exist, found the pair [4, 3]"),
    ("top:6", "teacher layers 0 to 4 and student layers 0 to 2 exist, found the pair [6, 2]"),
    ([[[4, 0], 1]], "expected pairs of one layer each, found [[4, 0], 1]; `gram` and `mmd` take two of each"),
    ("L3", "preset 'L3' is for 12 teacher and 3 student blocks, found 4 and 2"),
])  # fmt: skip
def test_states_that_do_not_exist(mistakes_of, layers, what):
    assert mistakes_of({f"{STUDENT}.losses[1].layers": layers}) == [
        f"models.student.distill.losses[1].layers: {what}"
    ]


@pytest.mark.parametrize(("layers", "what"), [
    ([[[0, 5], [0, 1]]],
     "teacher layers 0 to 4 and student layers 0 to 2 exist, found the pair [[0, 5], [0, 1]]"),
    ([[[0, 4], 1]],
     "expected one layer of each model, or two, [[t1, t2], [s1, s2]], found the pair [[0, 4], 1]"),
])  # fmt: skip
def test_two_states_that_do_not_exist(mistakes_of, layers, what):
    gram = {"loss": "gram", "layers": layers}
    assert mistakes_of({f"{STUDENT}.losses": [gram]}) == [f"models.student.distill.losses[0].layers: {what}"]
    assert mistakes_of({f"{STUDENT}.losses": [{**gram, "layers": [[[0, 4], [0, 1]], [4, 2]]}]}) == []


@pytest.mark.parametrize(("dataset", "term", "what"), [
    ({}, {"top_k": 2}, "top_k: expected fewer than the 2 outputs of the teacher, found 2"),
    ({"name": "stsb"}, {"top_k": 1},
     "top_k: `top_k` is for several classes, and regression has none; remove this"),
    ({"name": "stsb"}, {"probability_shift": True},
     "probability_shift: `probability_shift` is for several classes, and regression has none; remove this"),
    ({"labels": "none"}, {"probability_shift": True},
     "probability_shift: needs labels, 'task' has `labels: none`"),
    ({}, {"probability_shift": True, "top_k": 1},
     "probability_shift: needs all logits of the teacher; remove `top_k`"),
])  # fmt: skip
def test_options_that_logits_do_not_suit(mistakes_of, dataset, term, what):
    given = {f"datasets.task.{name}": value for name, value in dataset.items()}
    mistakes = mistakes_of({**given, f"{STUDENT}.losses": [{"loss": "kl", **term}]})
    assert any(mistake.startswith(f"models.student.distill.losses[0].{what}") for mistake in mistakes), (
        mistakes
    )


def test_a_map_of_another_form(mistakes_of):
    (mistake,) = mistakes_of({f"{STUDENT}.losses[1].layers": "spacd"})
    assert mistake.startswith(
        "models.student.distill.losses[1].layers: expected a list of [teacher, student] pairs"
    )


def narrow(width=12):
    architecture = {"family": "bert", "hidden_size": width, "num_hidden_layers": 2, "num_attention_heads": 2}
    return {"create": {"architecture": architecture, "tokenizer": "base"}}


def test_widths_that_differ_need_a_projection(mistakes_of):
    changes = {"models.narrow": narrow(), f"{STUDENT}.student": "narrow"}
    assert mistakes_of(changes) == [
        "models.student.distill.losses[1]: the teacher's states are 24 wide, the student's 12; "
        "give a `projection`, such as {kind: linear}"
    ]
    assert mistakes_of({**changes, f"{STUDENT}.losses[1].projection": {"kind": "linear"}}) == []


def of_heads(mistakes_of, student, **term):
    """Return the mistakes of a term on what heads do, and of the student that learns from it."""
    changes = {f"{STUDENT}.losses": [term], f"{STUDENT}.student": "other", "models.other": student}
    return mistakes_of(changes)


def created(**architecture):
    return {"create": {"architecture": architecture, "tokenizer": "base"}}


def test_heads_are_compared_where_there_are_heads(mistakes_of):
    gru = created(family="bigru", hidden_size=24)
    assert of_heads(mistakes_of, gru, loss="attention_mse") == [
        f"{STUDENT}.losses[0]: attention_mse compares attentions, but 'other', a bigru, has no heads"
    ]
    (mistake,) = of_heads(mistakes_of, gru, loss="relation")
    assert mistake.endswith(
        "relation compares queries and keys and values, but 'other', a bigru, has no heads"
    )
    assert of_heads(mistakes_of, gru, loss="hidden_mse") == []


def test_attentions_are_compared_head_by_head(mistakes_of):
    wide = created(family="bert", hidden_size=24, num_hidden_layers=2, num_attention_heads=3)
    (mistake,) = of_heads(mistakes_of, wide, loss="attention_mse")
    assert "attention_mse needs equally many heads in a block of teacher and student" in mistake
    assert mistake.endswith("give another value of `heads`, or use `relation`, which divides heads again")
    assert of_heads(mistakes_of, wide, loss="attention_mse", heads="mean") == []
    assert of_heads(mistakes_of, wide, loss="relation", relation_heads=6) == []
    (mistake,) = of_heads(mistakes_of, narrow(10), loss="relation", relation_heads=4)
    what = "4 heads cannot share the 10 features of a bert's heads; give a divisor of both models' widths"
    assert mistake == f"{STUDENT}.losses[0].relation_heads: {what}"


def test_sizes_of_a_teacher_have_other_numbers_of_heads(mistakes_of):
    settings = {"teacher": "teacher", "dataset": "task", "target": 0.5, "sparsities": [0.25]}

    def of_term(term):
        return mistakes_of({"models.assistant": {"schedule": {**settings, "losses": [term]}}})

    (mistake,) = of_term({"loss": "attention_mse"})
    assert mistake.startswith(
        "models.assistant.schedule.losses[0]: attention_mse needs equally many heads in a block of teacher "
    )
    assert of_term({"loss": "attention_mse", "heads": "mean"}) == []


def test_layer_0_has_no_heads(mistakes_of):
    assert mistakes_of({f"{STUDENT}.losses": [{"loss": "attention_mse", "layers": [[0, 1]]}]}) == [
        f"{STUDENT}.losses[0].layers: teacher layers 1 to 4 and student layers 1 to 2 exist, "
        "found the pair [0, 1]"
    ]
    assert mistakes_of({f"{STUDENT}.losses": [{"loss": "attention_mse", "layers": "spaced"}]}) == []


def test_what_compares_all_tokens_has_no_positions(mistakes_of):
    (mistake,) = mistakes_of({f"{STUDENT}.losses": [{"loss": "relation", "positions": "all"}]})
    assert mistake.endswith(
        "losses[0].positions: this loss compares queries, which have no choice of positions; remove this"
    )


def test_losses_of_logits_need_no_equal_widths(mistakes_of):
    changes = {
        "models.narrow": narrow(),
        f"{STUDENT}.student": "narrow",
        f"{STUDENT}.losses": [{"loss": "kl"}],
    }
    assert mistakes_of(changes) == []


def test_positions_align_between_equal_tokenizers_only(mistakes_of, other):
    changes = {"models.other": other, f"{STUDENT}.student": "other", "datasets.task.max_length": 32}
    assert mistakes_of({**changes, f"{STUDENT}.losses[1].projection": {}}) == [
        "models.student.distill.losses[1]: hidden_mse compares position by position, but the "
        "tokenizers differ: the teacher's is of 'base' with 500 entries, the student's of 'other' with 700 "
        "entries"
    ]
    assert mistakes_of({**changes, f"{STUDENT}.losses": [{"loss": "kl"}]}) == []


@pytest.mark.parametrize("cache", ["on", "off"])
def test_answers_are_matched_by_characters_and_states_are_not(graph_of, mistakes_of, other, cache):
    changes = {
        "models.other": other,
        "datasets.task": {"source": "squad", "path": "squad", "max_length": 96, "stride": 8},
        f"{STUDENT}.student": "other", f"{STUDENT}.cache": cache,
    }  # fmt: skip
    assert mistakes_of({**changes, f"{STUDENT}.losses[1].projection": {}}) == [
        "models.student.distill.losses[1]: hidden_mse compares position by position, but the "
        "tokenizers differ: the teacher's is of 'base' with 500 entries, the student's of 'other' with 700 "
        "entries"
    ]
    inputs = job_of(graph_of({**changes, f"{STUDENT}.losses": [{"loss": "kl"}]}), "distill", "student").inputs
    assert [folder.name for name in ("data", "teacher_data") for folder in inputs[name]] == ["other", "base"]


def test_on_text_the_vocabularies_must_be_one(mistakes_of, other):
    assert mistakes_of({
        "models.other": other,
        "models.d": {
            "distill": {
                "teacher": "base", "student": "other", "dataset": "text",
                "losses": [{"loss": "kl"}, {"loss": "hard"}],
            }
        },
    }) == [
        "models.d.distill.losses[0]: kl compares position by position, but the tokenizers differ: "
        "the teacher's is of 'base' with 500 entries, the student's of 'other' with 700 entries"
    ]  # fmt: skip


def test_a_teacher_that_runs_reads_the_tokens_of_its_own_tokenizer(graph_of, other):
    graph = graph_of({
        "models.other": other, "datasets.task.max_length": 32,
        f"{STUDENT}.student": "other", f"{STUDENT}.losses": [{"loss": "kl"}], f"{STUDENT}.cache": "off",
    })  # fmt: skip
    inputs = job_of(graph, "distill", "student").inputs
    assert [folder.name for folder in inputs["data"]] == ["other"]
    assert [folder.name for folder in inputs["teacher_data"]] == ["base"]
    alike = graph_of({f"{STUDENT}.student": "small"})
    assert "teacher_data" not in job_of(alike, "distill", "student").inputs


def test_signals_on_text_are_cached_where_its_masks_are_fixed(mistakes_of):
    distill = {
        "teacher": "base",
        "student": "small",
        "dataset": "text",
        "losses": [{"loss": "kl"}],
        "cache": True,
    }
    assert mistakes_of({"models.d": {"distill": distill}}) == [
        "models.d.distill.cache: text is masked anew in every epoch, so a teacher's signals on it cannot be "
        "stored; give `masking: {fixed: N}`, N maskings of each example, or `cache: off`"
    ]
    assert mistakes_of({"models.d": {"distill": {**distill, "masking": {"fixed": 2}}}}) == []
    # What is not fetched yet may be causal.
    hub = {"models.hub": {"load": {"path": "a/b"}}}
    of_hub = {"models.d": {"distill": {**distill, "teacher": "hub"}}}
    assert not any("masked anew" in mistake for mistake in mistakes_of({**hub, **of_hub}))


def test_a_map_is_cached_only_if_the_depth_of_the_student_is_known(mistakes_of):
    changes = {
        "models.hub": {"load": {"path": "a/b"}},
        "models.other": {"load": {"path": "a/c"}},
        f"{STUDENT}.teacher": "tuned",
        f"{STUDENT}.student": "other",
    }
    changes["models.tuned"] = {"finetune": {"model": "hub", "dataset": "task"}}
    (mistake,) = mistakes_of(changes)
    assert mistake.startswith(
        "models.student.distill.cache: which layers to store is unknown until the student"
    )
    assert mistakes_of({**changes, f"{STUDENT}.cache": "off"}) == []
    assert (
        mistakes_of({**changes, f"{STUDENT}.cache": "auto", f"{STUDENT}.losses[1].layers": [[12, 3]]}) == []
    )


def test_a_map_is_cached_where_the_student_is_as_deep_as_the_teacher(graph_of):
    """The teacher is not fetched yet, and its pruned copies keep its blocks."""
    graph = graph_of({
        "models.hub": {"load": {"path": "a/b"}},
        "models.tuned": {"finetune": {"model": "hub", "dataset": "task"}},
        "models.cut": {"prune": {"model": "tuned", "sparsity": 0.5}},
        f"{STUDENT}.teacher": "tuned",
        f"{STUDENT}.student": "cut",
    })  # fmt: skip
    (cache,) = graph.caches.values()
    assert [entry.student_depth for entry in cache.maps] == [None]


def test_a_dataset_that_is_longer_than_a_model_reads_is_told_once(mistakes_of):
    assert mistakes_of({"datasets.task.max_length": 600}) == [
        "datasets.task.max_length: 'task' has 600, but 'teacher' reads at most 512 tokens"
    ]
    assert mistakes_of({"datasets.task.max_length": 64, "datasets.text.max_length": 513}) == [
        "datasets.text.max_length: 'text' has 513, but 'base' reads at most 512 tokens"
    ]


ONE_SEGMENT = {"models.base.pretrain.architecture.type_vocab_size": 1}


def test_pairs_need_a_model_with_two_segments(mistakes_of):
    assert [found.partition(", as its")[0] for found in mistakes_of(ONE_SEGMENT)] == [
        "models.teacher.finetune.dataset: 'task' has pairs of texts, but 'teacher' cannot tell a second text "
        "from the first",
        "models.student.distill.dataset: 'task' has pairs of texts, but 'student' cannot tell a second text "
        "from the first",
        "models.student.distill.teacher: 'task' has pairs of texts, but 'teacher' cannot tell a second text "
        "from the first",
    ]


@pytest.mark.parametrize("changes", [
    {"datasets.task.name": "SST-2"},
    {"datasets.task": {"source": "table", "path": "a.tsv", "text": "a", "label": "b", "task": "regression"}},
    {"models.small.extract.architecture": "distilbert",
     "models.teacher.finetune": {"model": "small", "dataset": "task"},
     "models.student.distill.losses": [{"loss": "kl"}]},
])  # fmt: skip
def test_one_segment_is_enough_for_single_texts_and_where_none_are_told(mistakes_of, changes):
    assert mistakes_of({**ONE_SEGMENT, **changes}) == []


@pytest.mark.parametrize("data", [
    {"source": "table", "path": "a.tsv", "text": "a", "text_pair": "c", "label": "b", "task": "regression"},
    {"source": "squad", "path": "squad", "max_length": 384},
    {"combine": ["single", "task"]},
])  # fmt: skip
def test_pairs_of_every_source(mistakes_of, data):
    found = mistakes_of({
        **ONE_SEGMENT,
        "datasets.single": {"source": "glue", "name": "SST-2", "path": "s"},
        "datasets.other": data,
        "models.student": {"finetune": {"model": "base", "dataset": "other"}},
    })  # fmt: skip
    assert [mistake for mistake in found if "'other' has pairs of texts, but 'student'" in mistake]


def test_prompts_limit_what_a_classifier_of_tokens_reads(mistakes_of):
    architecture = {"family": "enct5", "n_positions": 100}
    changes = {
        "datasets.tags": {"source": "conll", "path": "conll"},
        "models.prompted": {"create": {"architecture": architecture, "tokenizer": "base"}},
        "models.texts": {"finetune": {"model": "prompted", "dataset": "task"}},
        "models.words": {"finetune": {"model": "prompted", "dataset": "tags"}},
    }
    assert mistakes_of(changes) == [
        "datasets.tags.max_length: 'tags' has 128, but 'words' reads at most 100 tokens"
    ]
    assert mistakes_of({**changes, "datasets.tags.max_length": 100}) == []


def test_what_is_submitted_is_read_too(mistakes_of):
    assert mistakes_of({
        "datasets.long": {"source": "glue", "name": "MRPC", "path": "m", "max_length": 600},
        "models.teacher.finetune.submit": ["long"],
    }) == ["datasets.long.max_length: 'long' has 600, but 'teacher' reads at most 512 tokens"]  # fmt: skip


def test_a_combination_is_as_long_as_its_first_part(mistakes_of):
    assert mistakes_of({
        "datasets.long": {"source": "glue", "name": "MRPC", "path": "glue", "max_length": 600},
        "datasets.both": {"combine": ["long", "task"]},
        "models.teacher.finetune.evaluate": ["both"],
    }) == ["datasets.long.max_length: 'both' has 600, but 'teacher' reads at most 512 tokens"]  # fmt: skip


def test_what_a_teacher_reads_counts_too(mistakes_of, other):
    (mistake,) = mistakes_of({
        "models.other": other,
        "models.tuned": {"finetune": {"model": "other", "dataset": "short"}},
        "datasets.short": {"source": "glue", "name": "MRPC", "path": "glue", "max_length": 160},
        "datasets.task.max_length": 161,
        f"{STUDENT}.teacher": "tuned",
        f"{STUDENT}.losses": [{"loss": "kl"}],
    })  # fmt: skip
    assert mistake == "datasets.task.max_length: 'task' has 161, but 'tuned' reads at most 160 tokens"


def test_a_mistake_of_a_matrix_is_told_once_with_its_first_model(mistakes_of):
    assert mistakes_of({
        "matrix": {"depth": [1, 2, 3], "seed": [1, 2, 3]},
        "models.cut-{depth}": {"extract": {"model": "base", "layers": "first:{depth}"}},
        "models.s-{depth}-{seed}": {
            "distill": {
                "teacher": "teacher", "student": "cut-{depth}", "dataset": "task",
                "losses": [{"loss": "hidden_mse", "layers": [[2, 2]]}],
            }
        },
    }) == [
        "models.s-{depth}-{seed}.distill.losses[0].layers: "
        "teacher layers 0 to 4 and student layers 0 to 1 exist, found the pair [2, 2] (in s-1-1)"
    ]  # fmt: skip


@pytest.mark.parametrize(("report", "mistake"), [
    ({"baseline": "techer"}, "report.baseline: there is no model 'techer'; did you mean 'teacher'?"),
    ({"over": ["seed", "tsk"]}, "report.over[1]: the matrix has no variable 'tsk'; did you mean 'task'?"),
    (
        {"published": "no.csv"},
        "report.published: there is no file no.csv; relative paths start at the working folder",
    ),
    (
        {"plots": [{"x": "task", "y": "f1"}, {"x": "parametres", "y": "f1"}]},
        "report.plots[1].x: there is no column 'parametres'; did you mean 'parameters'?",
    ),
    (
        {"plots": [{"x": "depth", "y": "acuracy", "by": "{task}"}]},
        "report.plots[0].y: there is no metric 'acuracy'; did you mean 'accuracy'?",
    ),
    (
        {"over": [], "plots": [{"x": "seed", "y": "f1"}, {"x": "depth", "y": "f1", "by": "tsk"}]},
        "report.plots[1].by: there is no column 'tsk'; did you mean 'task'?",
    ),
    (
        {"over": ["seed"], "plots": [{"x": "seed", "y": "f1"}]},
        "report.plots[0].x: there is no column 'seed'; there is dataset, depth, model, parameters, seconds, "
        "split, stage, task, template, width, {task}",
    ),
])  # fmt: skip
def test_what_the_report_compares(mistakes_of, report, mistake):
    assert mistakes_of({"matrix": {"task": ["a"]}, "report": report}) == [mistake]


def test_a_baseline_may_be_a_model_or_a_pattern(mistakes_of):
    changes = {"matrix": {"seed": [1]}, "models.t-{seed}": {"load": {"path": "a/b"}}}
    for baseline in ("t-{seed}", "t-1", "teacher"):
        assert mistakes_of({**changes, "report": {"baseline": baseline, "over": ["seed"]}}) == []


def test_a_tracker_that_is_not_installed_is_told(mistakes_of, monkeypatch):
    monkeypatch.setattr("kdpipe.plan.training.find_spec", lambda name: None)
    found = mistakes_of({"models.teacher.finetune.training": {"report_to": "mlflow"}})
    assert found == [
        "models.teacher.finetune.training.report_to: the package 'mlflow' is not installed; install"
        " `kdpipe[mlflow]`"
    ]


def test_a_malformed_file_of_published_values_is_told(mistakes_of, tmp_path):
    path = tmp_path / "published.csv"
    path.write_text("model,dataset,metric,value\nteacher,task,accuracy,high\n")
    assert mistakes_of({"report": {"published": str(path)}}) == [
        f"report.published: {path}:2: value: expected a number, found 'high'"
    ]


def test_what_export_was_is_submit_now(mistakes_of):
    [told] = mistakes_of({"models.teacher.finetune.export": ["task"]})
    assert told == (
        "models.teacher.finetune.export: 'task' is no format; there is onnx, onnx_fp16, onnx_int8; "
        "the setting for labels of a dataset's test splits is `submit`"
    )


def choice():
    return {"models.best": {"select": {"among": ["teacher", "student"], "dataset": "task"}}}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"smallest": {"within": 0.1, "of": "base"}},
         "smallest.of: 'base' is not scored on 'task'; add 'task' to its `evaluate`, or name a model "
         "that is"),
        ({"smallest": {"within": 0.1}, "best": {"at_most": {"megabytes": 1}}},
         "best: a model is chosen by one constraint, found `smallest` besides"),
        ({"format": "onnx"},
         "format: 'teacher' is not exported as onnx; add it to the `export` of 'teacher'"),
        ({"fastest": {"within": 0.1, "length": 32}},
         "fastest: 'student' is not measured; add it to `measure: {models: …}`"),
        ({"fastest": {"within": 0.1, "length": 7}, "among": ["teacher"]},
         "fastest.length: `measure` has 16, 32, found 7; give one of these, or add 7 to "
         "`measure: {latency: {length: …}}`"),
        ({"best": {"at_most": {"megabytes": 0}}},
         "best.at_most.megabytes: should be greater than 0, found 0"),
        ({"smallest": {"within": -1}}, "smallest.within: should be greater than or equal to 0, found -1"),
    ],
)  # fmt: skip
def test_a_choice_asks_for_what_is_there(mistakes_of, changes, told):
    measure = {"measure": {"models": ["teacher"], "latency": {"length": [16, 32]}}}
    options = {f"models.best.select.{name}": value for name, value in changes.items()}
    assert mistakes_of({**choice(), **measure, **options})[0] == f"models.best.select.{told}"


def test_the_model_that_others_may_be_worse_than_must_be_there(mistakes_of):
    [told] = mistakes_of({**choice(), "models.best.select.smallest": {"within": 0.1, "of": "teachr"}})
    assert told == "models.best.select.smallest.of: there is no model 'teachr'; did you mean 'teacher'?"


ALONE = "'int8' has int8 weights, and can then only be run; name the model that it was made from"


def quantized():
    return {"models.int8": {"quantize": {"model": "teacher"}}}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"models.a": {"quantize": {"model": "base"}}},
         "a.quantize.model: the head of 'base' for language_modeling shares its weights with the embeddings; "
         "models for other tasks get int8 weights"),
        ({"models.a": {"quantize": {"model": "int8"}}},
         "a.quantize.model: {}"),
        ({"models.a": {"prune": {"model": "int8", "sparsity": 0.5}}},
         "a.prune.model: {}"),
        ({"models.a": {"finetune": {"model": "int8", "dataset": "task"}}},
         "a.finetune.model: {}"),
        ({"models.int8.quantize.export": ["onnx_int8", "onnx_fp16"]},
         "int8.quantize.export: 'int8' has int8 weights, which onnx_fp16 would undo; give onnx_int8, or "
         "export the model that it was made from"),
        ({"models.int8.quantize.calibration": {"rows": 0}},
         "int8.quantize.calibration.rows: should be greater than or equal to 1, found 0"),
        ({"models.int8.quantize.calibration": {"dataset": "text"}},
         "int8.quantize.calibration: 'text' is for language_modeling, but 'teacher' has a head for "
         "classification; name a model trained for language_modeling"),
        ({"models.int8.quantize.calibration": {"dataset": "tasks"}},
         "int8.quantize.calibration.dataset: there is no dataset 'tasks'; did you mean 'task'?"),
        ({f"{STUDENT}.quantize": {"per_channel": False}},
         "student.distill.quantize.per_channel: torchao does not simulate one scale for a layer; "
         "give true, or quantize the trained model"),
    ],
)  # fmt: skip
def test_models_with_int8_weights(mistakes_of, changes, told):
    assert f"models.{told.format(ALONE)}" in mistakes_of({**quantized(), **changes})


def test_an_int8_model_teaches_and_is_chosen(mistakes_of):
    choice = {"select": {"among": ["teacher", "int8"], "dataset": "task"}}
    assert mistakes_of({**quantized(), "models.best": choice, f"{STUDENT}.teacher": "int8"}) == []


@pytest.mark.parametrize(
    ("package", "changes", "told"),
    [
        ("onnxscript", {"models.teacher.finetune.export": ["onnx"]}, "models.teacher.finetune.export"),
        ("torchao", {f"{STUDENT}.quantize": {}}, "models.student.distill.quantize"),
    ],
)
def test_packages_of_the_extra_are_told(mistakes_of, monkeypatch, package, changes, told):
    monkeypatch.setitem(sys.modules, package, None)
    assert mistakes_of(changes) == [
        f"{told}: the package {package!r} is not installed; install `kdpipe[ship]`"
    ]


def test_a_candidate_with_a_mistake_is_told_alone(mistakes_of):
    [told] = mistakes_of({
        **quantized(),
        "models.int8.quantize.model": "techer",
        "models.best": {"select": {"among": ["teacher", "int8"], "dataset": "task", "format": "onnx"}},
        "models.teacher.finetune.export": ["onnx"],
    })  # fmt: skip
    assert told == "models.int8.quantize.model: there is no model 'techer'; did you mean 'teacher'?"


def test_a_chosen_model_may_have_int8_weights(mistakes_of):
    choice = {"select": {"among": ["teacher", "int8"], "dataset": "task", "export": ["onnx"]}}
    trained = {"finetune": {"model": "best", "dataset": "task"}}
    assert mistakes_of({**quantized(), "models.best": choice, "models.later": trained}) == [
        "models.best.select.export: 'best' may have int8 weights, which onnx would undo; give onnx_int8, or "
        "export the model that it was made from",
        "models.later.finetune.model: 'best' may have int8 weights, and can then only be run; name the model "
        "that it was made from",
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["onnx", "onnx"], "expected each format once, found ['onnx', 'onnx']"),
        ([{"onnx": True}], "{'onnx': True} is no format; there is onnx, onnx_fp16, onnx_int8; the setting "
         "for labels of a dataset's test splits is `submit`"),
    ],
)  # fmt: skip
def test_formats_are_names_and_each_is_given_once(mistakes_of, given, told):
    assert mistakes_of({"models.teacher.finetune.export": given}) == [
        f"models.teacher.finetune.export: {told}"
    ]


def test_the_texts_of_calibration_fit_the_model(mistakes_of):
    long = {"source": "glue", "name": "MRPC", "path": "glue", "max_length": 600}
    found = mistakes_of({
        "datasets.long": long,
        "models.int8": {"quantize": {"model": "teacher", "calibration": {"dataset": "long"}}},
    })  # fmt: skip
    assert any(
        each.startswith("datasets.long.max_length: 'long' has 600, but 'int8' reads") for each in found
    )
