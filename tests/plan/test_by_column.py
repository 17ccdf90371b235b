"""What follows from teachers by a column of the data: a cache of the rows of each, and what is wrong."""

import pytest

from kdpipe.commands.check_data import check_data
from kdpipe.errors import ConfigError
from kdpipe.plan.jobs import job_of

TABLE: dict[str, object] = {
    "source": "table",
    "task": "classification",
    "text": "text",
    "label": "label",
    "keep": ["language"],
}
TABLE |= {"classes": ["0", "1"], "train": "data.tsv", "validation": 0.1}
MODELS = {"en": "teacher", "de": "teacher", "zh": "other"}
STUDENT = "models.student.distill"


def by_column(**changes):
    return {
        "datasets.task": {**TABLE, **changes.pop("table", {})},
        "models.other": {"finetune": {"model": "base", "dataset": "task", "seed": 2}},
        f"{STUDENT}.teacher": {"column": "language", "models": MODELS},
        **changes,
    }


def test_each_teacher_is_cached_on_its_rows(graph_of):
    graph = graph_of(by_column())
    rows = {teacher: settings.rows for (teacher, _, _), settings in graph.caches.items()}
    assert rows == {"teacher": ("language", ("en", "de")), "other": ("language", ("zh",))}
    inputs = job_of(graph, "distill", "student").inputs
    assert [folder.name for folder in inputs["teacher"]] == ["teacher", "other"]
    assert [folder.parts[-3] for folder in inputs["knowledge"]] == ["teacher", "other"]


def test_models_run_over_the_matrix(graph_of):
    graph = graph_of(by_column(**{
        "matrix": {"language": ["en", "zh"]},
        "models.of-{language}": {"finetune": {"model": "base", "dataset": "task", "seed": 3}},
        f"{STUDENT}.teacher": {"column": "language", "models": {"{language}": "of-{language}"}},
    }))  # fmt: skip
    assert graph.nodes["student"].settings.teacher.models == {"en": "of-en", "zh": "of-zh"}


@pytest.mark.parametrize(("changes", "place", "found"), [
    ({"table": {"keep": None}}, "teacher.column",
     "'task' keeps no column 'language'; give it `keep: [language]`, which tables have"),
    ({f"{STUDENT}.cache": "off"}, "cache",
     "the signals of teachers by a column are stored, for tasks with labels; remove `cache: off`, or take"
     " such a task"),
    ({"models.other": {"finetune": {"model": "small", "dataset": "task"}}}, "teacher.models",
     "hidden_mse compares states, but the teachers differ in depth or width; take losses on logits, or"
     " teachers of one size"),
    ({f"{STUDENT}.teacher": {"column": "language", "models": {"en": "teachr"}}}, "teacher",
     "there is no model 'teachr'; did you mean 'teacher'?"),
])  # fmt: skip
def test_what_is_wrong_is_told_at_its_place(mistakes_of, changes, place, found):
    assert mistakes_of(by_column(**changes)) == [f"{STUDENT}.{place}: {found}"]


def test_a_value_of_the_first_rows_without_a_teacher_is_told(graph_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    rows = [f"{language}\ta text\t0" for language in ("en", "fr", "zh")]
    (tmp_path / "data" / "data.tsv").write_text("\n".join(["language\ttext\tlabel", *rows]) + "\n")
    with pytest.raises(
        ConfigError, match=r"teacher\.models: 'task' has rows whose 'language' is 'fr'; give each"
    ):
        check_data(graph_of(by_column()))


def test_a_dataset_that_no_teacher_reads_needs_no_column(graph_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    rows = [f"{language}\ta text\t{at % 2}" for at, language in enumerate(["en", "zh"] * 5)]
    (tmp_path / "data" / "data.tsv").write_text("\n".join(["language\ttext\tlabel", *rows]) + "\n")
    losses = [{"loss": "kl", "dataset": "task"}, {"loss": "hard"}]
    changes = {"datasets.plain": {**TABLE, "keep": None}, f"{STUDENT}.dataset": ["task", "plain"]}
    graph = graph_of(by_column(**changes, **{f"{STUDENT}.losses": losses}))
    check_data(graph)
    assert {each.dataset for each in graph.nodes["student"].settings.lessons if each.taught} == {"task"}
