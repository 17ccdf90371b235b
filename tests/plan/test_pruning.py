"""A check of a config knows the units of pruned models, and refuses what cannot be pruned."""

import pytest

from kdpipe.plan.distillation import cache_settings
from kdpipe.plan.model_stage import key_of

UNITS = "nor a model that training alone made into it, so that its units may be others"
PRUNE = "models.cut.prune"
NARROW = {"heads": 1, "intermediate_size": 384}
HUB = {"models.hub": {"load": {"path": "some/classifier", "labels": ["0", "1"]}}}


def prune(**settings):
    return {"models.cut": {"prune": {"model": "teacher", **settings}}}


def task_model(**architecture):
    """Return the changes that make `own`, a model for the task that is trained from the start."""
    return {
        "models.raw": {"create": {"architecture": architecture, "tokenizer": "base"}},
        "models.own": {"finetune": {"model": "raw", "dataset": "task"}},
    }


def then(*before, **settings):
    """Return the changes that prune a model several times, the last time into `next`."""
    names = [*(f"cut{place}" for place in range(len(before))), "next"]
    cuts = zip(names, ["teacher", *names], [*before, settings], strict=False)
    return {f"models.{name}": {"prune": {"model": model, **cut}} for name, model, cut in cuts}


def schedule(**settings):
    given = {"teacher": "teacher", "dataset": "task", "target": 0.9, **settings}
    return {"models.assistant": {"schedule": given}}


@pytest.mark.parametrize(("changes", "mistake"), [
    (prune(), f"{PRUNE}.sparsity: expected either this or a uniform shape"),
    (prune(sparsity=0.5, heads=1), f"{PRUNE}.sparsity: expected either this or a uniform shape"),
    (prune(sparsity=1), f"{PRUNE}.sparsity: should be less than 1"),
    (prune(sparsity=-0.1), f"{PRUNE}.sparsity: should be greater than or equal to 0"),
    (prune(heads=3), f"{PRUNE}.heads: the model has 2, found 3"),
    (prune(layers=5), f"{PRUNE}.layers: the model has 4, found 5"),
    (prune(intermediate_size=4000), f"{PRUNE}.intermediate_size: the model has 3072, found 4000"),
    (prune(embedding_rank=25), f"{PRUNE}.embedding_rank: the model has 24, found 25"),
    ({**prune(embedding_rank=8), "models.less": {"prune": {"model": "cut", "embedding_rank": 16}}},
     "models.less.prune.embedding_rank: the model has 8, found 16"),
    (prune(model="base", embedding_rank=8),
     f"{PRUNE}.embedding_rank: the model's head for language_modeling needs whole word embeddings"),
    ({**task_model(family="enct5"), **prune(model="own", embedding_rank=8)},
     f"{PRUNE}.embedding_rank: models of the family enct5 are not given word embeddings of a lower rank; mo"),
    ({**task_model(family="electra", embedding_size=16), **prune(model="own", embedding_rank=20)},
     f"{PRUNE}.embedding_rank: the model has 16, found 20"),
    ({**prune(embedding_rank=8), "models.next": {"finetune": {"model": "cut", "dataset": "text"}}},
     "models.next.finetune.dataset: a head for language_modeling needs whole word embeddings, but 'cut"),
    ({**prune(embedding_rank=8), "models.next": {
        "distill": {"teacher": "base", "student": "cut", "dataset": "text", "losses": [{"loss": "kl"}]}}},
     "models.next.distill.dataset: a head for language_modeling needs whole word embeddings, but 'cut'"),
    ({"datasets.long": {"source": "glue", "name": "MRPC", "path": "glue/MRPC", "max_length": 600},
      **prune(sparsity=0.5, importance={"dataset": "long"})},
     "datasets.long.max_length: 'long' has 600, but 'teacher' reads at most 512 tokens"),
    (prune(sparsity=0.5, importance={"criterion": "mask"}),
     f"{PRUNE}.importance.criterion: 'mask' is not known; "),
    (prune(layers=2, importance={}),
     f"{PRUNE}.importance: no heads and no neurons are chosen; remove this"),
    (prune(sparsity=0.5, importance={"dataset": "text"}),
     f"{PRUNE}.importance: units are ranked by the loss of labels"),
    ({"datasets.bare": {"source": "glue", "name": "MRPC", "path": "glue/MRPC", "labels": "none"},
      **prune(sparsity=0.5, importance={"dataset": "bare"})},
     f"{PRUNE}.importance: units are ranked by the loss of labels, 'bare' has `labels: none`"),
    (prune(sparsity=0.5, importance={"split": "test_matched"}),
     f"{PRUNE}.importance.split: test labels are for scores alone"),
    (prune(sparsity=0.5, importance={"model": "tacher"}),
     f"{PRUNE}.importance: there is no model 'tacher'; did you mean 'teacher'?"),
    (prune(sparsity=0.5, importance={"model": "student", "dataset": "task"}),
     f"{PRUNE}.importance.model: 'student' is neither 'teacher' {UNITS}; give teacher"),
    ({**prune(sparsity=0.5, importance={"model": "tuned"}), "models.tuned": {
        "finetune": {"model": "cut", "dataset": "task"}}},
     "models.cut: models are made from each other: "),
    ({**prune(sparsity=0.5), "models.less": {
        "prune": {"model": "cut", "sparsity": 0.6, "importance": {"model": "teacher"}}}},
     f"models.less.prune.importance.model: 'teacher' is neither 'cut' {UNITS}; give cut"),
    (schedule(importance={"model": "small"}),
     f"models.assistant.schedule.importance.model: 'small' is neither 'teacher' {UNITS}"),
    (prune(sparsity=0.5, importance={"split": "trian"}),
     f"{PRUNE}.importance.split: 'task' has no split 'trian'; did you mean 'train'?"),
    (prune(sparsity=0.5, importance={"model": "base", "dataset": "task"}),
     f"{PRUNE}.importance: 'task' is for classification, but 'base' has a head for language_modeling"),
    (prune(sparsity=0.5, importance={"dataset": "x"}), f"{PRUNE}.importance: there is no dataset 'x'"),
    ({"models.cut": {"prune": {"model": "base", "sparsity": 0.5, "importance": {"dataset": "task"}}}},
     f"{PRUNE}.importance: 'task' is for classification, but 'base' has a head for "),
    ({**prune(sparsity=0.6), "models.less": {"prune": {"model": "cut", "sparsity": 0.5}}},
     "models.less.prune.sparsity: the model lacks 0.6 of the heads of its unpruned ancestor already, found"),
    (then({"sparsity": 0.6}, heads=2), "models.next.prune.heads: of the heads at most 3 are left, found 2"),
    (then({"sparsity": 0.6}, intermediate_size=1229),
     "models.next.prune.intermediate_size: of the neurons at most 4915 are left, found 1229 in each of 4 pl"),
    (then(NARROW, sparsity=0.3),
     "models.next.prune.sparsity: the model lacks 0.875 of the neurons of its unpruned ancestor already"),
    (then({"sparsity": 0.5}, {"layers": 1}, sparsity=0.6),
     "models.next.prune.sparsity: the model lacks 0.75 of the heads of its unpruned ancestor already"),
    ({**prune(**NARROW), **schedule(teacher="cut", sparsities=[0.2], target=0.6)},
     "models.assistant.schedule.target: expected more than the 0.875 of the neurons of its unpruned ancest"),
    ({**prune(sparsity=0.5), "models.x": {"extract": {"model": "cut", "layers": "first:1"}},
      "models.less": {"prune": {"model": "x", "sparsity": 0.6}}},
     "models.less.prune.sparsity: the model lacks 0.75 of the heads of its unpruned ancestor already"),
    (schedule(target=1.5), "models.assistant.schedule.target: should be less than 1"),
    (schedule(sparsities=[]), "models.assistant.schedule.sparsities: expected at least one"),
    (schedule(sparsities=[0.0]), "models.assistant.schedule.sparsities[0]: should be greater than 0"),
    (schedule(sparsities=[0.5, 0.5]), "models.assistant.schedule.sparsities: names a sparsity twice"),
    (schedule(sparsities=[0.9, 0.95]),
     "models.assistant.schedule.sparsities: none of 0.9, 0.95 is below the target 0.9"),
    (schedule(sparsities=[0.5, 0.95], compat="code"),
     "models.assistant.schedule.sparsities: expected the target 0.9, which smaller sizes stand for"),
    ({**prune(sparsity=0.6), **schedule(teacher="cut", target=0.6)},
     "models.assistant.schedule.target: expected more than the 0.6 of the heads of its unpruned ancestor th"),
    ({**schedule(sparsities=[0.5, 0.7]), **prune(model="assistant", sparsity=0.3)},
     f"{PRUNE}.sparsity: the model lacks 0.5 of the heads of its unpruned ancestor already, found"),
    ({**HUB, **schedule(teacher="hub"), **prune(model="assistant", sparsity=0.3)},
     f"{PRUNE}.sparsity: the model lacks 0.5 of the heads of its unpruned ancestor already, found"),
    ({**HUB, **schedule(teacher="hub", sparsities=[0.7, 0.8]), "models.next": {
        "schedule": {"teacher": "assistant", "dataset": "task", "target": 0.6}}},
     "models.next.schedule.target: expected more than the 0.7 of the heads of its unpruned ancestor that th"),
    ({**prune(sparsity=0.5), "models.x": {
        "extract": {"model": "cut", "layers": "first:2", "architecture": "distilbert"}}},
     "models.x.extract.architecture: distilbert students have no blocks or embeddings of the shapes of a"),
    ({**prune(embedding_rank=8), "models.x": {
        "extract": {"model": "cut", "layers": "first:2", "architecture": "distilbert"}}},
     "models.x.extract.architecture: distilbert students have no blocks or embeddings of the shapes of a"),
    (schedule(metric="f2"), "models.assistant.schedule.metric: 'task' has no metric 'f2'; "),
    ({"datasets.rates": {"source": "glue", "name": "STS-B", "path": "glue/STS-B"},
      **schedule(dataset="rates", metric="squared_error")},
     "models.assistant.schedule.metric: sparsity counts for an assistant as squared_error counts against"),
    (schedule(method="maxidisc"), "models.assistant.schedule.method: 'maxidisc' is not known; "),
    (schedule(dataset="text"), "models.assistant.schedule"),
])  # fmt: skip
def test_mistakes(mistakes_of, changes, mistake):
    assert any(found.startswith(mistake) for found in mistakes_of(changes))


@pytest.mark.parametrize(("changes", "models"), [
    # The assistant is the teacher, as none of the sizes lies between.
    ({**prune(sparsity=0.6), **schedule(teacher="cut", sparsities=[0.5, 0.9])}, {"assistant": 0.6}),
    ({**schedule(sparsities=[0.9, 0.5], compat="code"), **prune(model="assistant", sparsity=0.5)},
     {"assistant": 0.5, "cut": 0.5}),
    ({**schedule(sparsities=[0.9, 0.95], compat="code"), **prune(model="assistant", sparsity=0.9)},
     {"cut": 0.9, "assistant": 0.9}),
    # The published second stage begins at the size of its teacher, which the paper's leaves out.
    ({**prune(sparsity=0.7), **schedule(teacher="cut", sparsities=[0.6, 0.7, 0.8, 0.95, 0.9], compat="code")},
     {"assistant": 0.7}),
    ({**prune(sparsity=0.7), **schedule(teacher="cut", sparsities=[0.6, 0.7, 0.8, 0.95, 0.9])},
     {"assistant": 0.8}),
    # If no size is smaller than the student, no size stands for the student.
    (schedule(sparsities=[0.5, 0.8], compat="code"), {"assistant": 0.5}),
    # A model of the stock class is its own ancestor.
    (prune(intermediate_size=8), {"cut": 0.0}),
    (prune(heads=1, intermediate_size=1536), {"cut": 0.5}),
    (prune(heads=1), {"cut": None}),
])  # fmt: skip
def test_the_sparsity_that_is_known(graph_of, changes, models):
    facts = graph_of(changes).facts
    assert {name: facts[name].sparsity for name in models} == models


@pytest.mark.parametrize("changes", [
    then(NARROW, sparsity=0.875),
    then({"sparsity": 0.6}, intermediate_size=1228),
    then({"intermediate_size": 8}, sparsity=0.1),
    # So many of 8 heads are gone, and of 12,288 neurons.
    then({"sparsity": 0.6}, sparsity=0.59999),
    then({"sparsity": 0.5}, {"layers": 1}, sparsity=0.75),
])  # fmt: skip
def test_what_is_left_can_be_pruned_again(mistakes_of, changes):
    assert mistakes_of(changes) == []


def chosen(*among, **models):
    """Return the changes that make some models, cut by settings, and one chosen among them."""
    cuts = {f"models.{name}": {"prune": {"model": "teacher", **cut}} for name, cut in models.items()}
    return {**cuts, "models.best": {"select": {"among": [*among, *models], "dataset": "task"}}}


@pytest.mark.parametrize(("changes", "sparsity", "ranked", "rank"), [
    (chosen(a={"sparsity": 0.6}, b={"sparsity": 0.3}), 0.3, True, None),
    (chosen(a={"sparsity": 0.6}, b={"heads": 1}), None, True, None),
    (chosen("teacher", a={"sparsity": 0.6}), 0.0, None, None),
    (chosen("teacher", a={"embedding_rank": 8}), 0.0, False, 8),
])  # fmt: skip
def test_a_chosen_model_may_be_any_of_them(graph_of, changes, sparsity, ranked, rank):
    facts = graph_of(changes).facts["best"]
    assert (facts.sparsity, facts.ranked, facts.embedding_rank) == (sparsity, ranked, rank)


def test_a_model_that_may_carry_a_ranking_or_not_is_ranked_anew(mistakes_of, told, changed):
    changes = {**chosen("teacher", a={"sparsity": 0.3}), **prune(model="best", sparsity=0.5)}
    found = mistakes_of({**changes, **schedule(teacher="best")})
    assert found == [
        f"{where}.importance: is required: whether 'best' carries a ranking is known once it is made"
        for where in (PRUNE, "models.assistant.schedule")
    ]
    importance = {"importance": {"criterion": "random"}}
    given = {**prune(model="best", sparsity=0.5, **importance), **schedule(teacher="best", **importance)}
    assert told(changed({**changes, **given})) == []


def test_a_distilbert_is_made_of_a_model_of_the_stock_class(graph_of):
    graph = graph_of({**prune(intermediate_size=8, layers=3), "models.x": {
        "extract": {"model": "cut", "layers": "first:2", "architecture": "distilbert"}}})  # fmt: skip
    assert graph.facts["x"].shape.neurons == 8


@pytest.mark.parametrize(("first", "second", "ranked"), [
    ({"sparsity": 0.5}, {"intermediate_size": 8}, True),
    ({"sparsity": 0.5}, {"layers": 2}, True),
    ({"intermediate_size": 8}, {"layers": 2}, False),
    ({"embedding_rank": 8}, {"layers": 2}, False),
    ({"embedding_rank": 8}, {"intermediate_size": 8}, True),
    ({"heads": 1}, {"heads": 1, "intermediate_size": 8}, True),
    ({"sparsity": 0.0}, {"heads": 2, "intermediate_size": 8}, True),
    ({"intermediate_size": 8}, {"heads": 2, "intermediate_size": 8}, False),
    ({"layers": 2}, {"intermediate_size": 0}, True),
])  # fmt: skip
def test_what_carries_its_ranking_on(graph_of, first, second, ranked):
    """Every model carries a ranking, unless it is of its stock class or was never ranked."""
    given = {**prune(**first), "models.next": {"prune": {"model": "cut", **second}}}
    assert graph_of(given).facts["next"].ranked is ranked


def test_where_heads_are_not_known_nor_is_whether_some_go(mistakes_of):
    """A stock model that keeps all its units carries no ranking."""
    importance = {"dataset": "task"}
    first = {"model": "hub", "heads": 12, "intermediate_size": 8, "importance": importance}
    assert mistakes_of({**HUB, **then(first, sparsity=0.5)}) == [
        "models.next.prune.importance: is required: whether 'cut0' carries a ranking is known once it is made"
    ]
    assert mistakes_of({**HUB, **then(first, sparsity=0.5, importance=importance)}) == []


@pytest.mark.parametrize("teacher", [{"dataset": "task"}, {"model": "bse", "dataset": "task"}])
def test_a_mistake_in_an_ancestor_is_the_only_one(mistakes_of, teacher):
    found = mistakes_of({**prune(sparsity=0.5), "models.teacher.finetune": teacher})
    assert [mistake.partition(":")[0] for mistake in found] == ["models.teacher.finetune.model"]


def test_families_that_are_not_pruned_or_sliced(mistakes_of):
    gru = {"create": {"architecture": {"family": "bigru", "hidden_size": 16}, "tokenizer": "base"}}
    gpt2 = {"create": {"architecture": {"family": "gpt2"}, "tokenizer": "base"}}
    found = mistakes_of({
        "models.gru": gru, "models.gpt2": gpt2,
        "models.a": {"finetune": {"model": "gru", "dataset": "task"}},
        "models.b": {"finetune": {"model": "gpt2", "dataset": "task"}},
        "models.c": {"prune": {"model": "a", "sparsity": 0.5}},
        "models.d": {"schedule": {"teacher": "b", "dataset": "task", "target": 0.9}},
        "models.e": {"prune": {"model": "b", "sparsity": 0.9, "compat": "code"}},
    })  # fmt: skip
    assert [mistake.partition(";")[0] for mistake in found] == [
        "models.c.prune.model: models of the family bigru are not pruned",
        "models.d.schedule.teacher: models of the family gpt2 are not trained in several sizes",
        "models.e.prune.compat: models of the family gpt2 are not pruned as the published code prunes",
    ]


def test_of_ancestors_those_are_offered_whose_head_fits(mistakes_of):
    where = "models.assistant.schedule.importance.model"
    for importance in ({"model": "small"}, {"model": "small", "dataset": "task"}):
        assert mistakes_of(schedule(importance=importance)) == [
            f"{where}: 'small' is neither 'teacher' {UNITS}; give teacher"
        ]


@pytest.mark.parametrize("split", ["validation_mismatched", "extra"])
def test_splits_besides_the_usual_ones_rank_units(mistakes_of, split):
    extra = {"datasets.task.splits": {"extra": "extra.tsv"}}
    assert mistakes_of({**extra, **prune(sparsity=0.5, importance={"split": split})}) == []


@pytest.mark.parametrize(("criterion", "use"), [
    ("random", "whose name the scores go by"),
    ("mask_gradient", "that ranks the units"),
])  # fmt: skip
def test_a_model_trained_on_nothing_needs_a_dataset_to_be_ranked(mistakes_of, criterion, use):
    assert mistakes_of({**HUB, **prune(model="hub", sparsity=0.5, importance={"criterion": criterion})}) == [
        f"{PRUNE}.importance: is required, with a `dataset` {use}: 'hub' was trained on none"
    ]


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
def test_criteria_that_look_at_no_data_need_no_labels(mistakes_of, criterion):
    importance = {"criterion": criterion, "dataset": "text"}
    assert mistakes_of(prune(model="base", sparsity=0.5, importance=importance)) == []


def importance_of(graph, name):
    return graph.stage_of(name).importance(graph, graph.nodes[name].settings)


def test_siblings_share_scores_and_criteria_have_their_own(graph_of):
    graph = graph_of({
        "models.a": {"prune": {"model": "teacher", "sparsity": 0.5}},
        "models.b": {"prune": {"model": "teacher", "sparsity": 0.9, "seed": 7}},
        "models.c": {
            "prune": {"model": "teacher", "sparsity": 0.9, "importance": {"criterion": "weight_gradient"}}
        },
        "models.d": {"schedule": {"teacher": "teacher", "dataset": "task", "target": 0.9}},
        "models.e": {"prune": {"model": "d", "sparsity": 0.9}},
    })  # fmt: skip
    criteria = {(model, dataset, how.criterion) for (model, dataset, _), how in graph.importances.items()}
    assert criteria == {("teacher", "task", "mask_gradient"), ("teacher", "task", "weight_gradient")}
    assert len(graph.importances) == 2
    assert importance_of(graph, "e") == []
    [wanted] = importance_of(graph, "a")
    assert (*wanted[:2], key_of(wanted[2])) in graph.importances


def test_an_ancestor_may_be_scored(graph_of):
    """A student that was trained from a cut model is cut again by the cut model's scores."""
    graph = graph_of({
        **prune(sparsity=0.5),
        "models.student.distill.student": "cut",
        "models.tuned": {"finetune": {"model": "student", "dataset": "task"}},
        "models.less": {"prune": {"model": "tuned", "sparsity": 0.9, "importance": {"model": "cut"}}},
        "models.own": {"prune": {"model": "tuned", "sparsity": 0.9, "importance": {}}},
    })  # fmt: skip
    assert graph.trained_from("tuned") == ("tuned", "student", "cut")
    assert {key[:2] for key in graph.importances} == {("teacher", "task"), ("cut", "task"), ("tuned", "task")}
    [less] = importance_of(graph, "less")
    assert less[:2] == ("cut", "task")


def test_the_shape_of_a_uniform_cut_is_known(graph_of):
    facts = graph_of(prune(heads=1, layers=2, intermediate_size=8, embedding_rank=4)).facts["cut"]
    assert (facts.shape.heads, facts.shape.depth, facts.shape.neurons, facts.shape.width) == (1, 2, 8, 24)
    assert facts.sparsity is None
    assert facts.ranked
    assert graph_of(prune(sparsity=0.5)).facts["cut"].sparsity == 0.5


def test_the_sizes_of_a_schedule_share_the_teachers_cache(graph_of):
    graph = graph_of({**schedule(losses=[{"loss": "soft_cross_entropy"}]), "models.other": {
        "distill": {"teacher": "teacher", "student": "small", "dataset": "task", "losses": [{"loss": "kl"}]}
    }})  # fmt: skip
    keys = {key for key in graph.caches if key[0] == "teacher"}
    assert key_of(cache_settings(graph, graph.nodes["assistant"].settings.lessons[0])) in {
        key for _, _, key in keys
    }
    assert graph.evaluated_on("assistant") == ("task",)
