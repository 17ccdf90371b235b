"""Rules of single stages beyond the names and types of their settings."""

import pytest
from pydantic import ValidationError

from kdpipe.config.mistakes import explain
from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.extract import ExtractSettings
from kdpipe.plan.stages.load import LoadSettings
from kdpipe.plan.stages.pretrain import PretrainSettings
from kdpipe.plan.stages.schedule import ScheduleSettings

DISTILL = {"teacher": "a", "student": "b", "dataset": "c", "losses": [{"loss": "kl"}]}


def mistakes_in(stage, /, **settings):
    with pytest.raises(ValidationError) as error:
        stage.model_validate(settings)
    return explain(error.value)


@pytest.mark.parametrize(
    ("given", "read"), [("auto", "auto"), ("on", "on"), ("off", "off"), (True, "on"), (False, "off")]
)
def test_a_cache_is_switched_as_yaml_reads_it(given, read):
    assert DistillSettings(**DISTILL, cache=given).cache == read


KL, HIDDEN = {"loss": "kl"}, {"loss": "hidden_mse"}
FLSW = {"loss": "kl", "temperature": "flsw"}


@pytest.mark.parametrize(("changes", "where", "what"), [
    ({"teacher": []}, ("teacher",), "expected at least one"),
    ({"teacher": {"column": "language", "models": {}}}, ("teacher", "models"), "expected at least one"),
    ({"teacher": {"column": "language"}}, ("teacher", "models"), "is required"),
    ({"teacher": {"column": "language", "models": {"en": "a"}}, "losses": [{**KL, "teacher": "a"}]},
     ("losses", 0, "teacher"), "'language' says which teacher is read of a row; remove this"),
    ({"teacher": {"column": "language", "models": {"en": "a", "zh": "b"}}, "ensemble": {}}, ("ensemble",),
     "no loss term reads several teachers together; remove this"),
    ({"losses": [KL, HIDDEN]}, ("losses", 1), "hidden_states are read of one teacher; give `teacher: a`, or"
     " another of the 2"),
    ({"losses": [{**KL, "top_k": 5}]}, ("losses", 0), "top_logits and top_entries are read of one teacher;"
     " give `teacher: a`, or another of the 2"),
    ({"losses": [{**HIDDEN, "teacher": "c"}]}, ("losses", 0, "teacher"), "'c' is no teacher here;"
     " there is a, b"),
    ({"losses": [KL, {"loss": "hard", "teacher": "a"}]}, ("losses", 1, "teacher"), "hard reads no teacher;"
     " remove this"),
    ({"losses": [{**HIDDEN, "teacher": "a"}]}, ("teacher",), "no loss term with a weight reads 'b';"
     " remove it"),
    ({"teacher": "a", "losses": [{**KL, "teacher": "b"}]}, ("losses", 0, "teacher"), "'b' is no teacher here;"
     " there is a"),
    ({"teacher": "a", "ensemble": {}}, ("ensemble",), "no loss term reads several teachers"
     " together; remove this"),
    ({"losses": [{**KL, "teacher": name} for name in "ab"], "ensemble": {"average": "logits"}}, ("ensemble",),
     "no loss term reads several teachers together; remove this"),
    ({"ensemble": {"weights": [1]}}, ("ensemble", "weights"), "expected 2, one each, found 1"),
    ({"ensemble": {"weights": [1, 0]}}, ("ensemble", "weights", 1), "should be greater than 0, found 0"),
    ({"losses": [FLSW], "ensemble": {"average": "probabilities"}}, ("losses", 0, "temperature"), "mean"
     " probabilities need one temperature; give a number, or `average: logits`"),
])  # fmt: skip
def test_what_does_not_suit_several_teachers(changes, where, what):
    assert mistakes_in(DistillSettings, **{**DISTILL, "teacher": ["a", "b"], **changes}) == [(where, what)]


def test_a_lesson_has_the_terms_of_its_teacher():
    losses = [KL, {**HIDDEN, "teacher": "b"}, {"loss": "hard"}]
    settings = DistillSettings(**{**DISTILL, "teacher": ["a", "b"], "losses": losses})
    found = {lesson.teacher: [index for index, _ in lesson.terms] for lesson in settings.lessons}
    assert found == {"a": [0, 2], "b": [0, 1, 2]}
    assert [[term.loss for term in lesson.taught] for lesson in settings.lessons] == [
        ["kl"],
        ["kl", "hidden_mse"],
    ]


SEVERAL = {"dataset": ["a", "b"], "teacher": {"a": "t", "b": "u"}}
HARD = {"loss": "hard"}


@pytest.mark.parametrize(("changes", "where", "what"), [
    ({"dataset": []}, ("dataset",), "expected at least one"),
    ({"teacher": {}}, ("teacher",), "expected at least one"),
    ({"teacher": {"a": "t", "c": "u"}}, ("teacher", "c"), "'c' is no dataset here; there is a, b"),
    ({"teacher": {"a": "t"}}, ("teacher",), "'b' has no teacher, which kl reads; name one, or give the term"
     " the `dataset` that it is for"),
    ({"losses": [{**KL, "dataset": "a"}]}, ("losses",), "no loss term with a weight is for 'b'; give it one"),
    ({"losses": [KL, {**KL, "dataset": "aa"}]}, ("losses", 1, "dataset"), "'aa' is no dataset here; did you"
     " mean 'a'?"),
    ({"losses": [{**KL, "teacher": "t"}]}, ("losses", 0, "teacher"), "each dataset has its own teacher; give"
     " the term a `dataset`"),
    ({"losses": [{**KL, "dataset": "a"}, {**HARD, "dataset": "b"}]}, ("teacher",), "no loss term with a"
     " weight reads 'u'; remove it"),
    ({"ensemble": {}}, ("ensemble",), "no loss term reads several teachers together; remove this"),
    ({"sampling": {"exponent": -1}}, ("sampling", "exponent"), "should be greater than or equal to 0,"
     " found -1"),
    ({"dataset": "a", "teacher": "t", "sampling": {}}, ("sampling",), "chooses among several datasets, and"
     " there is one; remove this, or give null for a default"),
])  # fmt: skip
def test_what_does_not_suit_several_datasets(changes, where, what):
    given = {**DISTILL, **SEVERAL, "losses": [KL]}
    assert mistakes_in(DistillSettings, **{**given, **changes}) == [(where, what)]


def test_a_term_is_for_all_datasets_or_for_one():
    losses = [KL, {**HARD, "dataset": "b"}, {**HIDDEN, "dataset": "a"}]
    settings = DistillSettings.model_validate({**DISTILL, **SEVERAL, "losses": losses})
    read = {name: [index for index, _ in settings.terms_on(name)] for name in "ab"}
    assert read == {"a": [0, 2], "b": [0, 1]}
    lessons = [(each.dataset, each.teacher, [term.loss for term in each.taught]) for each in settings.lessons]
    assert lessons == [("a", "t", ["kl", "hidden_mse"]), ("b", "u", ["kl"])]
    assert [*settings.references()][-3:] == [
        ("dataset", "dataset", "a"), ("dataset", "dataset", "b"), ("student", "model", "b"),
    ]  # fmt: skip


def test_one_teacher_is_for_all_datasets():
    settings = DistillSettings.model_validate({**DISTILL, **SEVERAL, "teacher": "t", "losses": [KL]})
    assert [(each.dataset, each.teacher) for each in settings.lessons] == [("a", "t"), ("b", "t")]
    assert settings.exponent == 1.0


def test_a_schedule_has_one_teacher():
    given = {"teacher": ["a", "b"], "dataset": "d", "target": 0.9}
    ((where, _),) = mistakes_in(ScheduleSettings, **given)
    assert where == ("teacher",)


@pytest.mark.parametrize(
    ("layers", "where"), [([0, -1], ("layers", 1)), ([0, "x"], ("layers", 1)), (3, ("layers",))]
)
def test_layers_of_an_extraction(layers, where):
    ((found, _),) = mistakes_in(ExtractSettings, model="a", layers=layers)
    assert found == where


def test_only_distilbert_may_start_its_transform_at_random():
    ExtractSettings(model="a", layers="first:1", architecture="distilbert", vocab_transform=False)
    ((_, what),) = mistakes_in(ExtractSettings, model="a", layers="first:1", vocab_transform=False)
    assert what == "`vocab_transform: false` is for `architecture: distilbert` only"


def test_shares_of_masking_sum_to_one():
    MaskingSettings(mask=0.6, keep=0.3, random=0.1)
    ((_, what),) = mistakes_in(MaskingSettings, mask=0.5)
    assert what == "mask + keep + random must be 1, found 0.7"
    ((where, _),) = mistakes_in(MaskingSettings, probability=1)
    assert where == ("probability",)


def test_pretraining_masks_uniformly_unless_told_otherwise():
    given = {"dataset": "a", "architecture": {"family": "bert"}}
    assert PretrainSettings.model_validate(given).masking.smoothing == 0
    assert PretrainSettings.model_validate({**given, "masking": {"smoothing": 0.7}}).masking.smoothing == 0.7


def test_a_digest_has_64_digits():
    LoadSettings(path="a", sha256="0" * 64)
    ((where, what),) = mistakes_in(LoadSettings, path="a", sha256="abc")
    assert where == ("sha256",)
    assert what == "should match pattern '^[0-9a-f]{64}$', found 'abc'"


def test_labels_have_names_of_their_own():
    assert LoadSettings(path="a", labels=["no", "yes"]).labels == ("no", "yes")
    assert mistakes_in(LoadSettings, path="a", labels=["x", "y", "x"]) == [
        (("labels",), "'x' is named twice")
    ]
    ((where, what),) = mistakes_in(LoadSettings, path="a", labels=["x", 1])
    assert (where, what) == (("labels", 1), "should be a valid string, found 1; put a name in quotes")
    ((where, _),) = mistakes_in(LoadSettings, path="a", labels=[])
    assert where == ("labels",)
