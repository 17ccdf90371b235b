"""What follows from a student of several teachers: a cache of each, what each cache holds, what is wrong."""

import pytest

from kdpipe.commands.describe import summary
from kdpipe.plan.jobs import job_of

OTHER = {"models.other": {"finetune": {"model": "base", "dataset": "task", "seed": 2}}}
LOSSES = [{"loss": "kl"}, {"loss": "hidden_mse", "layers": "spaced", "teacher": "other"}]
TEACHERS = {"models.student.distill.teacher": ["teacher", "other"], "models.student.distill.losses": LOSSES}
SEVERAL = {**OTHER, **TEACHERS}
STUDENT = "models.student.distill"


def signals(graph, folder):
    return graph.caches[folder.parts[-3:]].signals


def test_each_teacher_is_cached_by_itself(graph_of):
    graph = graph_of(SEVERAL)
    job = job_of(graph, "distill", "student")
    assert [folder.name for folder in job.inputs["teacher"]] == ["teacher", "other"]
    first, second = job.inputs["knowledge"]
    assert (first.parts[-3], second.parts[-3]) == ("teacher", "other")
    assert signals(graph, first) == ("logits",)
    assert signals(graph, second) == ("hidden_states.0", "hidden_states.2", "hidden_states.4", "logits")


def test_a_student_of_one_of_the_teachers_shares_its_cache(graph_of):
    graph = graph_of(SEVERAL)
    alone = graph_of({**SEVERAL, f"{STUDENT}.teacher": "teacher", f"{STUDENT}.losses": LOSSES[:1]})
    found = [job_of(each, "distill", "student").inputs["knowledge"][0] for each in (graph, alone)]
    assert found[0] == found[1]


def test_teachers_that_run_beside_the_student_take_time(graph_of):
    one = graph_of({**OTHER, f"{STUDENT}.cache": "off"})
    several = graph_of({**SEVERAL, f"{STUDENT}.cache": "off"})
    assert "knowledge" not in job_of(several, "distill", "student").inputs
    stage, settings = (several.stage_of("student"), several.nodes["student"].settings)
    beside = one.stage_of("student").beside(one, one.nodes["student"].settings)
    assert stage.beside(several, settings) == 2 * beside


def test_a_change_of_their_weights_leaves_the_caches(graph_of):
    plain = graph_of(SEVERAL)
    weighted = graph_of({**SEVERAL, f"{STUDENT}.ensemble": {"average": "probabilities", "weights": [2, 1]}})
    assert plain.caches == weighted.caches


@pytest.mark.parametrize(("changes", "found"), [
    ({f"{STUDENT}.teacher": ["teacher", "base"],
      f"{STUDENT}.losses": [LOSSES[0], {**LOSSES[1], "teacher": "base"}]},
     "models.student.distill.teacher: 'task' is for classification, but 'base' has a head for"
     " language_modeling; name a model trained for classification"),
    ({f"{STUDENT}.losses": [LOSSES[0], {**LOSSES[1], "layers": [[5, 2]]}]},
     "models.student.distill.losses[1].layers: teacher layers 0 to 4 and student layers 0 to 2 exist, found"
     " the pair [5, 2]"),
    ({f"{STUDENT}.losses": [LOSSES[0], {**LOSSES[1], "teacher": "others"}]},
     "models.student.distill.losses[1].teacher: 'others' is no teacher here; did you mean 'other'?"),
    ({f"{STUDENT}.losses": [{"loss": "kl", "probability_shift": True}],
      "datasets.task.labels": "none"},
     "models.student.distill.losses[0].probability_shift: needs labels, 'task' has `labels: none`"),
])  # fmt: skip
def test_what_is_wrong_is_told_once_and_at_its_place(mistakes_of, changes, found):
    assert [mistake for mistake in mistakes_of({**SEVERAL, **changes}) if ".student." in mistake] == [found]


def test_the_pairs_of_a_term_are_told_with_its_teacher(graph_of):
    graph = graph_of(SEVERAL)
    remarks = [*graph.stage_of("student").remarks(graph, graph.nodes["student"])]
    assert remarks[0] == "student: hidden_mse spaced: (other, student) (0, 0) (2, 1) (4, 2)"
    assert len(remarks) == 1
    assert summary(graph).count("the cache of") == 2


def test_a_teacher_of_states_alone_is_not_scored(graph_of):
    """Its head may be for something else, which only the repository tells."""
    loaded = {"models.other": {"load": {"path": "org/some-model"}}, **TEACHERS}
    losses = [{**LOSSES[0], "teacher": "teacher"}, {**LOSSES[1], "layers": [[1, 1]]}]
    graph = graph_of({**loaded, f"{STUDENT}.losses": losses})
    assert ("other", "task") not in graph.evaluations
    both = graph_of({**loaded, f"{STUDENT}.losses": [LOSSES[0], losses[1]]})
    assert ("other", "task") in both.evaluations
