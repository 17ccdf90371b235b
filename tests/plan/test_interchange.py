"""Counterfactual runs in a config: their sites in words, what they read, and what is wrong with them."""

import json

import pytest

from kdpipe.plan.build import build_graph
from kdpipe.plan.jobs import job_of

STUDENT = "models.student.distill"
LOSSES = [{"loss": "kl"}, {"loss": "kl", "run": "counterfactual"}]
INTERCHANGE = {f"{STUDENT}.interchange.alignment": "middle", f"{STUDENT}.losses": LOSSES}


def sites(graph):
    told = graph.stage_of("student").remarks(graph, graph.nodes["student"])
    return [line.partition("interchange: ")[2] for line in told if "interchange: " in line]


@pytest.mark.parametrize(
    ("alignment", "expected"),
    [
        ("middle", "teacher -> student: block 2 -> block 1"),
        ("full", "teacher -> student: blocks 0 to 1 -> block 0; blocks 2 to 3 -> block 1"),
        (
            [{"teacher": {"blocks": [3], "heads": [0], "dims": "0:6"},
              "student": {"blocks": [0], "heads": [1], "dims": "6:12"}, "at": "keys"}],
            "teacher -> student: keys of block 3, head 0, numbers 0 to 5 of each head -> block 0, head 1,"
            " numbers 6 to 11 of each head",
        ),
    ],
)  # fmt: skip
def test_check_prints_the_sites(alignment, expected, graph_of):
    graph = graph_of({**INTERCHANGE, f"{STUDENT}.interchange.alignment": alignment})
    assert sites(graph) == [expected]


def test_nothing_is_cached_for_a_counterfactual_run(graph_of):
    assert "knowledge" not in job_of(graph_of(INTERCHANGE), "distill", "student").inputs
    unread = {**INTERCHANGE, f"{STUDENT}.losses": [LOSSES[0], {**LOSSES[1], "weight": 0}]}
    graph = graph_of({**unread, f"{STUDENT}.cache": "on"})
    assert "knowledge" in job_of(graph, "distill", "student").inputs
    assert sites(graph) == []


def test_a_counterfactual_run_takes_time(graph_of):
    plain = graph_of({f"{STUDENT}.losses": LOSSES[:1], f"{STUDENT}.cache": "off"})
    intervened = graph_of(INTERCHANGE)
    costs = [
        graph.stage_of("student").cost(graph, job_of(graph, "distill", "student"))
        for graph in (plain, intervened)
    ]
    assert costs[1].operations == 2 * costs[0].operations
    assert costs[1].memory > costs[0].memory


def test_tokens_in_context_are_drawn_from_counts(graph_of):
    assert "counts" not in job_of(graph_of(INTERCHANGE), "distill", "student").inputs
    graph = graph_of({f"{STUDENT}.interchange.sources": "in_context"})
    [counts] = job_of(graph, "distill", "student").inputs["counts"]
    assert counts.parts[-3:] == ("counts", "task", "base")


def mapping(teacher, student):
    sides = {"teacher_variable_names": [teacher], "student_variable_names": [student]}
    return json.dumps({"interchange_variable_mappings": [sides]})


def test_a_file_of_mappings_is_an_input_of_the_node(graph_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "middle.nm").write_text(mapping("$L:2$H:[0:2]$[0:12]", "$L:1$H:[0:2]$[0:12]"))
    graph = graph_of({**INTERCHANGE, f"{STUDENT}.interchange.alignment": "middle.nm"})
    assert [str(path) for path in job_of(graph, "distill", "student").files] == ["middle.nm"]
    heads = "heads 0 to 1, numbers 0 to 11 of each head"
    assert sites(graph) == [f"teacher -> student: block 2, {heads} -> block 1, {heads}"]


@pytest.mark.parametrize(("changes", "expected"), [
    ({f"{STUDENT}.interchange": None},
     "losses[1].run: a counterfactual run needs `interchange` in the node, which `distill` takes, such as"
     " `interchange: {alignment: middle}`"),
    ({f"{STUDENT}.interchange": {}},
     "interchange.alignment: expected middle, late, full, a list of pairs or a `.nm` file; only"
     " `swap: tokens` needs none"),
    ({f"{STUDENT}.interchange.alignment": "a{x}.nm"},
     "interchange.alignment: expected a path without braces, found 'a{x}.nm'; rename the file; the"
     " matrix has no variable 'x'; there is none"),
    ({f"{STUDENT}.losses": [{"loss": "kl", "run": "counterfactual", "probability_shift": True}]},
     "losses[0].probability_shift: goes by labels, which a counterfactual run does not have; remove this"),
    ({f"{STUDENT}.interchange.alignment": "midle"},
     "interchange.alignment: expected middle, late, full, a list of pairs or the path of a `.nm` file, found"
     " 'midle'; did you mean 'middle'?"),
    ({f"{STUDENT}.interchange.alignment": "gone.nm"},
     "interchange.alignment: gone.nm: No such file or directory; give the path of a `.nm` file from the"
     " working folder"),
    ({f"{STUDENT}.interchange.alignment": "late"},
     "interchange.alignment: `late` needs 3 blocks of both models, the student has 2; take `middle`, or name"
     " pairs of sites"),
    ({f"{STUDENT}.interchange.alignment": [{"teacher": {"blocks": [4]}, "student": {"blocks": [1]}}]},
     "interchange.alignment: block 4 -> block 1: the teacher has blocks 0 to 3; name some of these"),
    ({f"{STUDENT}.interchange.alignment": [
        {"teacher": {"blocks": [3], "dims": "3"}, "student": {"blocks": [1]}}]},
     "interchange.alignment[0].teacher.dims: expected a range such as `0:64`, found '3'"),
    ({f"{STUDENT}.interchange.positions": "masked"},
     "interchange.positions: `masked` needs a model that predicts masked tokens; take `consecutive` or"
     " `scattered`"),
    ({f"{STUDENT}.interchange.proportion": 1.5},
     "interchange.proportion: should be less than or equal to 1, found 1.5"),
    ({f"{STUDENT}.interchange.alignment": [{"teacher": {"blocks": 3}, "student": {"blocks": [1]}}]},
     "interchange.alignment[0].teacher.blocks: expected a list such as [3], found 3"),
    ({f"{STUDENT}.interchange.alignment": {"teacher": {"blocks": [3]}, "student": {"blocks": [1]}}},
     "interchange.alignment: expected a list of pairs, found one pair; put it into a list: `- {teacher: …}`"),
    ({f"{STUDENT}.cache": "on"},
     "cache: a counterfactual run needs the teacher beside the student, with other sources in each epoch;"
     " give `cache: off`, or remove it"),
    ({f"{STUDENT}.losses": [{"loss": "hard", "run": "counterfactual"}]},
     "losses[0].run: hard compares with labels, which a counterfactual run does not have; remove this"),
    ({f"{STUDENT}.training": {"torch_compile": True}},
     "training.torch_compile: runs that begin and end inside a model are not supported of a compiled model;"
     " remove this"),
    ({f"{STUDENT}.interchange.alignment": [
        {"teacher": {"blocks": [3], "heads": [0, 0]}, "student": {"blocks": [1]}}]},
     "interchange.alignment[0].teacher.heads: names 0 twice; name each once"),
    ({f"{STUDENT}.interchange.alignment": [
        {"teacher": {"blocks": [3], "dims": [6, 0]}, "student": {"blocks": [1]}}]},
     "interchange.alignment[0].teacher.dims: expected a range whose end is above its begin, found 6:0"),
    ({f"{STUDENT}.interchange.alignment": [
        {"teacher": {"blocks": [1]}, "student": {"blocks": [1]}},
        {"teacher": {"blocks": [2], "heads": [0, 1]}, "student": {"blocks": [1], "heads": [0]}}]},
     "interchange.alignment: entry 1, block 2, heads 0 to 1 -> block 1, head 0: the teacher's site is 24"
     " wide, the student's 12; take as many heads and numbers of both, or models of one width"),
])  # fmt: skip
def test_mistakes(changes, expected, mistakes_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert mistakes_of({**INTERCHANGE, **changes}) == [f"{STUDENT}.{expected}"]


def test_teachers_by_a_column_have_no_counterfactual_run(mistakes_of):
    models = {"column": "language", "models": {"en": "teacher"}}
    found = mistakes_of({**INTERCHANGE, f"{STUDENT}.teacher": models})
    what = "the signals of teachers by a column are stored, and counterfactual runs cannot be"
    assert f"{STUDENT}.teacher: {what}; take one teacher, or a list" in found
    assert not any("cache" in line.partition(":")[0] for line in found)


def test_an_interchange_that_no_term_reads_changes_nothing(graph_of):
    job = job_of(graph_of({f"{STUDENT}.interchange.alignment": "middle"}), "distill", "student")
    other = job_of(graph_of({f"{STUDENT}.interchange.alignment": "full"}), "distill", "student")
    assert (job.decisive(), job.arguments()) == (other.decisive(), other.arguments())
    read = job_of(graph_of(INTERCHANGE), "distill", "student")
    assert read.decisive()["settings"]["interchange"]["alignment"] == "middle"


WHOLE, EVERY = {"blocks": [1]}, {"blocks": [1], "heads": [0, 1], "dims": "0:12"}


@pytest.mark.parametrize(
    ("site", "at", "refused"),
    [(WHOLE, "output", False), (EVERY, "output", False), (WHOLE, "values", True), (EVERY, "keys", True)],
)
def test_of_pruned_models_whole_outputs_are_swapped(site, at, refused, mistakes_of):
    pairs = [{"teacher": site, "student": site, "at": at}]
    found = mistakes_of({
        **INTERCHANGE,
        "models.narrow": {"prune": {"model": "teacher", "sparsity": 0.5}},
        f"{STUDENT}.student": "narrow",
        f"{STUDENT}.interchange.alignment": pairs,
    })  # fmt: skip
    what = "the student is pruned, and has other heads in each block; swap whole states, `at: output`"
    assert (f"{STUDENT}.interchange.alignment: {what}" in found) == refused


def test_a_swap_of_tokens_reads_no_file(graph_of):
    graph = graph_of({**INTERCHANGE, f"{STUDENT}.interchange": {"swap": "tokens", "alignment": "gone.nm"}})
    assert job_of(graph, "distill", "student").files == []


def test_where_the_source_is_read_is_printed(graph_of):
    graph = graph_of({**INTERCHANGE, f"{STUDENT}.interchange.read": "shifted"})
    assert sites(graph) == ["teacher -> student: block 2 -> block 1, read a block below"]


def test_a_schedule_has_no_counterfactual_run(mistakes_of):
    schedule = {"teacher": "teacher", "dataset": "task", "target": 0.5, "losses": LOSSES}
    [found] = mistakes_of({"models.assistant": {"schedule": schedule}})
    assert found.startswith(
        "models.assistant.schedule.losses[1].run: a counterfactual run needs `interchange`"
    )


def test_teacher_and_student_share_a_tokenizer(mistakes_of, config):
    config["models"]["other"] = {"pretrain": {**config["models"]["base"]["pretrain"], "vocab_size": 400}}
    config["models"]["small"]["extract"]["model"] = "other"
    found = mistakes_of(INTERCHANGE)
    what = (
        "activations are swapped token by token, but the tokenizers differ: the teacher's is of 'base', the"
    )
    what += " student's of 'other'; take a student with the teacher's tokenizer"
    assert f"{STUDENT}.interchange: {what}" in found


def test_nothing_is_cached_beside_a_counterfactual_run(graph_of):
    """The stage reads the stored signals of all teachers on all datasets, or of none."""
    graph = graph_of({
        "models.other": {"finetune": {"model": "base", "dataset": "task", "seed": 2}},
        f"{STUDENT}.teacher": ["teacher", "other"],
        f"{STUDENT}.losses": [
            {"loss": "kl", "teacher": "teacher"}, {"loss": "kl", "teacher": "other", "run": "counterfactual"}
        ],
        f"{STUDENT}.interchange.alignment": "middle",
    })  # fmt: skip
    assert "knowledge" not in job_of(graph, "distill", "student").inputs


def test_swapped_tokens_need_no_alignment(graph_of):
    graph = graph_of({**INTERCHANGE, f"{STUDENT}.interchange": {"swap": "tokens"}})
    assert sites(graph) == ["teacher -> student: tokens are swapped, in no block"]


def test_masked_positions_suit_masked_language_models(config):
    config["models"]["student"]["distill"] |= {
        "teacher": "base",
        "dataset": "text",
        "losses": LOSSES,
        "interchange": {"alignment": "middle", "positions": "masked"},
    }
    assert sites(build_graph(config)) == ["base -> student: block 2 -> block 1"]
