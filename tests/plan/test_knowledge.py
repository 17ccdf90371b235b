"""How much of a teacher is distilled, in a config: what is stored for whom, and what is wrong with it."""

import json
from copy import deepcopy
from pathlib import Path

import pytest

from kdpipe.anatomy.knowledge import Share, largest_shares
from kdpipe.anatomy.signals import Signal
from kdpipe.commands.describe import describe_graph, summary
from kdpipe.plan.build import build_graph
from kdpipe.plan.jobs import job_of
from kdpipe.plan.resources import memory_mb
from kdpipe.plan.saved.knowledge import FILE
from tests.configs import CONFIG

STUDENT = "models.student.distill"
HIDDEN = {"loss": "hidden_mse", "layers": "spaced"}
STATES = CONFIG["models"]["student"]["distill"] | {"losses": [HIDDEN]}


def amounts(graph):
    """Return the caches of a graph: what is stored of each signal, by its name."""
    return [
        {str(signal): shares for signal, shares in what.selected.shares(4).items()} if what.selected else None
        for what in graph.caches.values()
    ]


def with_students(**students):
    return {
        f"models.{name}": {"distill": {**deepcopy(STATES), "knowledge": knowledge}}
        for name, knowledge in students.items()
    }


def test_a_cache_holds_what_the_node_takes_of_the_states_and_whole_logits(graph_of):
    graph = graph_of({f"{STUDENT}.knowledge": "1l_10t_0.1h", f"{STUDENT}.losses": [{"loss": "kl"}, HIDDEN]})
    [cache] = graph.caches.values()
    assert cache.signals == ("logits",)
    assert amounts(graph) == [{"hidden_states.4@4": (Share(10, 0.1),)}]
    assert cache.stored(4) == (Signal("hidden_states", 4, 4), Signal("logits"))


def test_all_nodes_of_one_teacher_and_scheme_share_a_cache(graph_of):
    graph = graph_of({
        f"{STUDENT}.knowledge": {"layers": 2, "tokens": 10},
        **with_students(
            more={"tokens": 20, "hidden": 0.5}, other={"tokens": 5, "token_scheme": "left_first"}, whole={}
        ),
    })  # fmt: skip
    assert amounts(graph) == [
        {
            "hidden_states.0@1": (Share(20, 0.5),),
            "hidden_states.2@2": (Share(10), Share(20, 0.5)),
            "hidden_states.4@4": (Share(10), Share(20, 0.5)),
        },
        {f"hidden_states.{layer}": (Share(5),) for layer in (0, 2, 4)},
        None,
    ]
    folders = {name: job_of(graph, "distill", name).inputs["knowledge"] for name in ("student", "more")}
    assert folders["student"] == folders["more"]


def test_the_order_of_nodes_changes_no_cache(graph_of):
    nodes = with_students(a={"tokens": 20}, b={"tokens": 5, "hidden": 0.3}, c={"layers": 1, "hidden": 0.1})
    keys = [
        {key for _, _, key in graph_of({"models.student": {"distill": STATES}, **dict(order)}).caches}
        for order in (nodes.items(), reversed(nodes.items()))
    ]
    assert keys[0] == keys[1]


def test_a_larger_amount_makes_a_new_cache_unless_a_larger_one_was_stored():
    def keys(**students):
        config = deepcopy(CONFIG)
        for path, value in with_students(**students).items():
            config["models"][path.removeprefix("models.")] = value
        return {*build_graph(config).caches}

    assert keys(a="1l_10t_0.1h") != keys(a="1l_10t_0.1h", b="2l_20t_0.3h")
    fixed = {"cached": "3l_30t_0.5h"}
    few, more = (
        {**fixed, "tokens": 10, "layers": 1, "hidden": 0.1},
        {**fixed, "tokens": 20, "layers": 2, "hidden": 0.5},
    )
    assert keys(a=few) == keys(a=few, b=more)


def test_a_fixed_amount_stores_what_every_smaller_amount_takes(graph_of):
    knowledge = {"layers": 1, "tokens": 2, "hidden": 0.1, "cached": "2l_3t_0.5h"}
    graph = graph_of({f"{STUDENT}.knowledge": knowledge, f"{STUDENT}.losses": [HIDDEN]})
    shares = (Share(1, 0.5), Share(2, 0.5), Share(3, 0.5))
    assert amounts(graph) == [{"hidden_states.2@2": shares, "hidden_states.4@4": shares}]


def test_layers_and_blocks_that_rank_are_resolved_once_the_teacher_is_there(graph_of):
    graph = graph_of({
        "models.fetched": {"load": {"path": "someone/bert"}},
        "models.teacher.finetune.model": "fetched",
        "models.small.extract.model": "fetched",
        f"{STUDENT}.losses": [HIDDEN],
        f"{STUDENT}.knowledge": {"layers": 1, "tokens": 10, "ranked_by": "top"},
    })  # fmt: skip
    [cache] = graph.caches.values()
    assert cache.stored(12) == (Signal("hidden_states", 12, 12),)
    assert cache.stored(6) == (Signal("hidden_states", 6, 6),)


def test_a_check_prints_the_pairs_that_are_left_and_the_size(graph_of):
    graph = graph_of(
        {f"{STUDENT}.knowledge": "1l_10t_0.1h", f"{STUDENT}.losses": [HIDDEN], "datasets.task.rows": 500}
    )
    told = summary(graph)
    assert "student: hidden_mse spaced: (teacher, student) (4, 2)\n" in told
    # A tenth of 240 numbers in half precision, a bit for each, and 2 bytes for the place of each token.
    size = 24 * 2 + 240 / 8 + 10 * 2
    assert f"at most {size / 1e6:.3g} MB an example" in told


@pytest.mark.parametrize(("knowledge", "losses", "expected"), [
    ("1l_10t_.5h", [HIDDEN], "knowledge: expected an amount such as `1l_10t_0.1h`, layers and tokens from"
     " 1, and a share"
     " above 0 and at most 1; found '1l_10t_.5h'"),
    ({"layers": 4}, [HIDDEN], "knowledge.layers: the terms compare at most 3 pairs of layers, found 4;"
     " give a smaller"
     " number, or more `layers` in a term"),
    ({"hidden": 1.5}, [HIDDEN], "knowledge.hidden: should be less than or equal to 1, found 1.5"),
    ({"tokens": 0}, [HIDDEN], "knowledge.tokens: should be greater than or equal to 1, found 0"),
    ({"tokens": 3, "token_scheme": "all"}, [HIDDEN], "knowledge.token_scheme: `all` takes all tokens;"
     " remove `tokens`, or"
     " take others"),
    ({"layers": 1}, [{"loss": "kl"}], "knowledge: no loss term with a weight reads states of the teacher;"
     " remove this"),
    ({"layers": 1}, [{"loss": "emd"}], "losses[0]: emd: `layers` takes some pairs of layers, and this"
     " loss compares all"
     " blocks"),
    ({"tokens": 1}, [{"loss": "pkd"}], "losses[0]: pkd: `tokens` takes some tokens of a text, and this"
     " loss reads the"
     " first token alone"),
    ({"hidden": 0.5}, [{"loss": "gram"}], "losses[0]: gram: `hidden` takes some numbers of each state,"
     " and this loss"
     " compares states as a whole"),
    ({"hidden": 0.5}, [{"loss": "mmd"}], "losses[0]: mmd: `hidden` takes some numbers of each state, and"
     " this loss"
     " compares states as a whole"),
    ({"hidden": 0.5}, [{"loss": "emd"}], "losses[0]: emd: `magnitude` takes other numbers of each block,"
     " and this loss"
     " compares every two blocks"),
    ({"tokens": 5}, [{"loss": "hidden_mse", "modules": [["pooler", "pooler"]]}], "losses[0]: hidden_mse:"
     " attention ranks"
     " the tokens of layers, and not of modules; give `token_scheme: left_first`"),
    ({"layers": 1}, [{"loss": "hidden_mse", "modules": [["pooler", "pooler"]]}], "losses[0]: hidden_mse:"
     " `layers` takes some pairs of layers, and this loss compares modules"),
    ({"hidden": 0.5}, [{"loss": "attention_mse"}], "knowledge.hidden: is of hidden states, which no loss term"
     " compares; remove this"),
    (3, [HIDDEN], "knowledge: should be a mapping, or an amount such as `1l_10t_0.1h`, found 3"),
    ({"tokens": 5, "cached": "1l_3t_1h"}, [HIDDEN], "knowledge.cached: 1l_3t_1h has fewer layers than are"
     " taken: all"),
    ({"layers": 1, "tokens": 5, "cached": "1l_3t_1h"}, [HIDDEN], "knowledge.cached: 1l_3t_1h has fewer"
     " tokens than are"
     " taken: 5"),
    ({"layers": 1, "tokens": 2, "hidden": 0.3, "hidden_scheme": "uniform", "cached": "1l_3t_0.5h"}, [HIDDEN],
     "knowledge.cached: 0.5 of the width, spread evenly, lacks some of 0.3; give a multiple of it, or the"
     " same"),
])  # fmt: skip
def test_mistakes(knowledge, losses, expected, mistakes_of):
    assert f"{STUDENT}.{expected}" in mistakes_of(
        {f"{STUDENT}.knowledge": knowledge, f"{STUDENT}.losses": losses}
    )


def test_a_teacher_without_attention_ranks_no_tokens(mistakes_of):
    gru = {"create": {"architecture": {"family": "bigru", "hidden_size": 24}, "tokenizer": "base"}}
    found = mistakes_of({
        "models.gru": gru,
        "models.teacher.finetune.model": "gru",
        f"{STUDENT}.losses": [{"loss": "hidden_mse"}],
        f"{STUDENT}.knowledge": {"tokens": 3},
    })  # fmt: skip
    what = "'teacher', a bigru, has no attention that could rank tokens; give `left_first`"
    assert f"{STUDENT}.knowledge.token_scheme: {what}" in found


def test_beside_a_counterfactual_run_no_part_is_taken(mistakes_of):
    found = mistakes_of({
        f"{STUDENT}.losses": [HIDDEN, {"loss": "kl", "run": "counterfactual"}],
        f"{STUDENT}.interchange": {"alignment": "middle"},
        f"{STUDENT}.knowledge": {"layers": 1},
    })  # fmt: skip
    assert f"{STUDENT}.knowledge: is not built beside a counterfactual run; remove one of them" in found


STORED = {
    "shape": {"family": "bert", "depth": 4, "width": 24, "heads": 2, "vocabulary": 500},
    "task": "classification",
    "labels": ["0", "1"],
    "tokenizer": "t",
    "data": "d",
    "token_scheme": "attention_no_sep",
    "hidden_scheme": "magnitude",
    "compat": "paper",
    "signals": {"hidden_states.4@4": [[10, 0.1, 0]], "logits": [[None, None, 0]]},
}


@pytest.fixture
def given(tmp_path: Path):
    """A function that writes a folder of stored signals, and returns the settings of its student."""

    def write(knowledge, **stored):
        folder = tmp_path / "stored"
        folder.mkdir(exist_ok=True)
        (folder / FILE).write_text(json.dumps(STORED | stored))
        (folder / "SHA256SUMS").touch()
        distill = {key: value for key, value in STATES.items() if key != "teacher"}
        return {"models.student": {"distill": distill | {"knowledge": {**knowledge, "from": str(folder)}}}}

    return write


JOINT = {"layers": 1, "tokens": 10, "hidden": 0.1}


def test_a_folder_of_stored_signals_stands_for_a_teacher(given, graph_of, tmp_path):
    settings = given(JOINT)
    graph = graph_of({**settings, "models.teacher": {"load": {"path": "someone/something"}}})
    assert graph.caches == {}
    job = job_of(graph, "distill", "student")
    assert {*job.inputs} == {"student", "data"}
    assert job.files == [tmp_path / "stored" / "SHA256SUMS"]
    assert "student: hidden_mse spaced: (teacher, student) (4, 2)" in graph.stage_of("student").remarks(
        graph, graph.nodes["student"]
    )


@pytest.mark.parametrize(("knowledge", "stored", "expected"), [
    ({**JOINT, "tokens": 20}, {}, "knowledge: {} has 10 tokens, 0.1 of the width (ranked by block 4) of"
     " hidden_states.4, not all of what is taken: 20 tokens, 0.1 of the width (ranked by block 4); take less,"
     " or one of these"),
    ({}, {}, "knowledge: {} has 10 tokens, 0.1 of the width (ranked by block 4) of hidden_states.4, not"
     " all of what is taken: all tokens; take less, or one of these"),
    ({**JOINT, "layers": 2}, {}, "losses[0]: hidden_mse reads the teacher's hidden_states.2, which {}"
     " has not; it has hidden_states.4, logits"),
    ({**JOINT, "token_scheme": "attention"}, {}, "knowledge.token_scheme: {} was stored by"
     " attention_no_sep, found"
     " attention"),
    ({**JOINT, "hidden_scheme": "uniform"}, {}, "knowledge.hidden_scheme: {} was stored by magnitude,"
     " found uniform"),
    (JOINT, {"task": "regression"}, "teacher: 'task' is for classification, but 'knowledge of {}' has a"
     " head for"
     " regression; name a model trained for classification"),
    (JOINT, {"signals": 3}, "knowledge: {}: expected a folder of stored signals, which `cache_teacher`"
     " makes, found a"
     " knowledge.json that is wrong in 'signals'"),
])  # fmt: skip
def test_what_a_folder_of_stored_signals_lacks(knowledge, stored, expected, given, mistakes_of, tmp_path):
    settings = given(knowledge, **stored)
    if "head for" in expected:
        settings["models.student"]["distill"]["losses"] = [HIDDEN, {"loss": "kl"}]
    assert f"{STUDENT}.{expected.replace('{}', str(tmp_path / 'stored'))}" in mistakes_of(settings)


def test_either_a_teacher_or_stored_signals(given, mistakes_of):
    settings = given(JOINT)
    settings["models.student"]["distill"]["teacher"] = "teacher"
    what = "`knowledge: {from: FOLDER}` stands in its place; remove one of them"
    assert mistakes_of(settings) == [f"{STUDENT}.teacher: {what}"]


def test_a_student_needs_a_teacher(mistakes_of):
    distill = {key: value for key, value in STATES.items() if key != "teacher"}
    what = "'task' has no teacher, which hidden_mse reads"
    remedy = "name one, or give the term the `dataset` that it is for"
    assert mistakes_of({"models.student": {"distill": distill}}) == [f"{STUDENT}.teacher: {what}; {remedy}"]
    hard = {**distill, "losses": [{"loss": "hard"}]}
    what = "is required, or `knowledge: {from: FOLDER}` in its place"
    assert mistakes_of({"models.student": {"distill": hard}}) == [f"{STUDENT}.teacher: {what}"]


def key_of(graph):
    [(_, _, key)] = graph.caches
    return key


@pytest.mark.parametrize(("larger", "smaller"), [
    ({"tokens": 20}, {"tokens": 10}),
    ({"tokens": 10, "hidden": 0.5}, {"tokens": 10, "hidden": 0.1}),
    ({"layers": 2, "tokens": 10}, {"layers": 1, "tokens": 5}),
    ({"tokens": 9, "hidden": 0.5, "hidden_scheme": "random"},
     {"tokens": 5, "hidden": 0.1, "hidden_scheme": "random"}),
    # Ways that do not matter for an amount.
    ({"layers": 2}, {"layers": 2, "token_scheme": "left_first", "hidden_scheme": "random"}),
])  # fmt: skip
def test_a_smaller_amount_changes_no_cache(larger, smaller, graph_of):
    alone = graph_of({f"{STUDENT}.losses": [HIDDEN], f"{STUDENT}.knowledge": larger})
    distill = {**STATES, "losses": [HIDDEN], "knowledge": smaller}
    beside = graph_of({
        f"{STUDENT}.losses": [HIDDEN], f"{STUDENT}.knowledge": larger, "models.second": {"distill": distill}
    })  # fmt: skip
    assert key_of(beside) == key_of(alone)


def test_of_several_teachers_one_may_give_states(graph_of):
    graph = graph_of({
        "models.other": {"finetune": {"model": "base", "dataset": "task", "seed": 5}},
        f"{STUDENT}.teacher": ["teacher", "other"],
        f"{STUDENT}.losses": [{"loss": "kl"}, {**HIDDEN, "teacher": "teacher"}],
        f"{STUDENT}.knowledge": "1l_4t_0.5h",
    })  # fmt: skip
    held = {teacher: cache.selected for (teacher, *_), cache in graph.caches.items()}
    assert held["other"] is None
    assert held["teacher"].shares(4) == {Signal("hidden_states", 4, 4): (Share(4, 0.5),)}


def test_a_folder_of_whole_states_serves_every_amount_that_attention_does_not_rank(given, graph_of):
    whole = {
        "signals": {f"hidden_states.{layer}": [[None, None, 0]] for layer in range(5)},
        **dict.fromkeys(("token_scheme", "hidden_scheme", "compat")),
    }
    for knowledge in ({}, {"layers": 1}, {"hidden": 0.3}, {"tokens": 3, "token_scheme": "left_first"}):
        assert graph_of(given(knowledge, **whole)).caches == {}


def test_an_incomplete_copy_is_told_before_anything_runs(given, mistakes_of, tmp_path):
    settings = given(JOINT)
    (tmp_path / "stored" / "SHA256SUMS").unlink()
    assert any("found no SHA256SUMS; copy the whole folder" in told for told in mistakes_of(settings))


def test_the_graph_shows_where_stored_signals_come_from(given, graph_of, tmp_path):
    settings = {**given(JOINT), "models.teacher": {"load": {"path": "someone/something"}}}
    line = next(line for line in describe_graph(graph_of(settings)).splitlines() if "student" in line)
    assert f"stored signals {tmp_path / 'stored'}" in line


HUB = {"models.teacher": {"load": {"path": "someone/something"}}}


@pytest.mark.parametrize("layers", ["top:20", [[2, 1], [4, 2]], "spaced"])
def test_a_teacher_of_unknown_depth_keeps_no_map_from_its_resources(layers, graph_of):
    losses = [{"loss": "hidden_mse", "layers": layers}]
    knowledge = {"layers": 1, "tokens": 10, "ranked_by": "own"}
    graph = graph_of({**HUB, f"{STUDENT}.losses": losses, f"{STUDENT}.knowledge": knowledge})
    [names] = graph.caches
    job = job_of(graph, "cache_teacher", *names)
    assert memory_mb(graph, job, 1) > 0


def test_of_a_teacher_of_unknown_depth_fewer_layers_change_no_cache(graph_of):
    changes = {**HUB, f"{STUDENT}.losses": [HIDDEN], f"{STUDENT}.knowledge": {"layers": 2, "tokens": 10}}
    distill = {**STATES, "losses": [HIDDEN], "knowledge": {"layers": 1, "tokens": 5}}
    beside = graph_of({**changes, "models.second": {"distill": distill}})
    assert key_of(beside) == key_of(graph_of(changes))


def test_layers_and_width_are_judged_by_all_terms_of_a_node(graph_of):
    graph = graph_of({
        "models.other": {"finetune": {"model": "base", "dataset": "task", "seed": 5}},
        f"{STUDENT}.teacher": ["teacher", "other"],
        f"{STUDENT}.losses": [
            {**HIDDEN, "teacher": "teacher"},
            {"loss": "attention_mse", "layers": "last", "teacher": "other"},
        ],
        f"{STUDENT}.knowledge": {"layers": 2, "hidden": 0.3},
    })  # fmt: skip
    assert len(graph.caches) == 2


@pytest.mark.parametrize("stored", [
    {"token_scheme": "left_first", "signals": {"hidden_states.4": [[10, 0.1, 0]]}},
    {"hidden_scheme": "uniform", "compat": "code", "signals": {"hidden_states.4": [[10, 0.1, 0]]}},
])  # fmt: skip
def test_the_codes_choice_needs_the_whole_width(stored, given, mistakes_of):
    knowledge = {**JOINT, "token_scheme": "left_first", "compat": "code"}
    told = mistakes_of(given(knowledge, **stored))
    assert any("not all of what is taken: 10 tokens;" in line for line in told)


def test_the_largest_shares_are_found():
    shares = [Share(5, 0.5), Share(5, 0.1), Share(4), Share(3, 0.5), Share(6, 0.2), Share(5, 0.5)]
    assert largest_shares(shares, "magnitude") == (Share(4), Share(5, 0.5), Share(6, 0.2))
