"""Numbers and paths that no stage can use are refused where they are read."""

import pytest
from pydantic import TypeAdapter, ValidationError

from kdpipe.config.document import Document
from kdpipe.config.mistakes import problems_of
from kdpipe.config.settings.bounds import bounded
from kdpipe.config.settings.dataset import read_dataset
from kdpipe.config.settings.importance import ImportanceSettings
from kdpipe.config.settings.losses import term_settings
from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.config.settings.report import ReportSettings
from kdpipe.plan.model_stage import model_stages

TEXT = {"source": "text", "task": "language_modeling", "path": "x"}
PRETRAIN = {"dataset": "d", "architecture": {"family": "bert"}}
SCHEDULE = {"teacher": "t", "dataset": "d", "target": 0.9}


def document(**given):
    return Document.model_validate({"models": {"m": {}}, **given})


def dataset(**given):
    return read_dataset({**TEXT, **given})


def combined(**given):
    return read_dataset({"combine": ["a", "b"], **given})


def term(**given):
    return term_settings("kl").model_validate({"loss": "kl", **given})


def projected(**given):
    return term_settings("hidden_mse").model_validate({"loss": "hidden_mse", "projection": given})


def stage(name, **needed):
    return lambda **given: model_stages()[name].settings.model_validate({**needed, **given})


distill = stage("distill", teacher="t", student="s", dataset="d")
WRONG = [
    (document, "seed", (-1, 2**32, 10**30, True, 1.5)),
    (document, "threads", (0, -1, 10**12, True)),
    (document, "gpus", (-1, 10**12, True)),
    (document, "cache_limit_gb", (0, -1, 1e300, True)),
    (MaskingSettings, "fixed", (0, -1, 1.5, True)),
    (document, "checkpoint_minutes", (-1, 1e300, True)),
    (dataset, "rows", (0, 10**30, True)),
    (dataset, "max_length", (0, 11, 10**30, True)),
    (dataset, "stride", (-1, 10**30)),
    (dataset, "longest_answer", (0, 10**30)),
    (dataset, "no_answer_threshold", (float("inf"), True)),
    (combined, "max_length", (11, 10**30)),
    (combined, "stride", (-1, 10**30)),
    (term, "temperature", (0, -1, 1e300, 1e-300, True)),
    (term, "weight", (-1, 1e300, True)),
    (projected, "learning_rate", (0, -1, 1e300)),
    (MaskingSettings, "probability", (0, 1, True)),
    (MaskingSettings, "smoothing", (-1, 1e300)),
    (ImportanceSettings, "batches", (0, 10**30, True)),
    (ImportanceSettings, "batch_size", (0, 10**30)),
    (ImportanceSettings, "seed", (-1, 2**32)),
    (stage("load", path="x"), "seed", (-1, 2**32, True)),
    (stage("pretrain", **PRETRAIN), "vocab_size", (63, 10**12, 10**8, True)),
    (stage("prune", model="m"), "sparsity", (-0.1, 1, True)),
    (stage("prune", model="m"), "heads", (-1, 10**30, True)),
    (stage("prune", model="m"), "layers", (0, 10**30)),
    (stage("prune", model="m"), "intermediate_size", (-1, 10**30)),
    (stage("prune", model="m"), "embedding_rank", (0, 10**30)),
    (stage("schedule", **SCHEDULE), "target", (0, 1, True)),
    (stage("schedule", **SCHEDULE), "tradeoff", (-1, 1e300)),
]


@pytest.mark.parametrize(
    ("make", "name", "values"), WRONG, ids=lambda value: value if isinstance(value, str) else ""
)
def test_numbers_have_ranges(make, name, values):
    for value in values:
        with pytest.raises(ValidationError) as error:
            make(**{name: value})
        (problem,) = problems_of(error.value)
        assert problem.where.rpartition(".")[2] == name
        assert len(problem.what) < 160


@pytest.mark.parametrize(("make", "given", "where"), [
    (dataset, {"rows": {"train": True}}, "rows.train"),
    (dataset, {"rows": {"train": 0}}, "rows.train"),
    (combined, {"proportions": [1, 1e300]}, "proportions[1]"),
    (combined, {"proportions": [1, True]}, "proportions[1]"),
    (stage("schedule", **SCHEDULE), {"sparsities": [0.5, True]}, "sparsities[1]"),
    (stage("extract", model="m"), {"layers": [0, True]}, "layers[1]"),
    (stage("extract", model="m"), {"layers": [10**30]}, "layers[0]"),
    (distill, {"losses": [{"loss": "kl", "temperature": True}]}, "losses[0].temperature"),
    (distill, {"losses": [{"loss": "hidden_mse", "layers": [[0, True]]}]}, "losses[0].layers[0][1]"),
    (dataset, {"source": "table", "text": "t", "classes": [None]}, "classes[0]"),
    (dataset, {"source": "table", "text": "t", "classes": [True]}, "classes[0]"),
])  # fmt: skip
def test_numbers_in_lists_and_mappings_are_told_where_they_stand(make, given, where):
    with pytest.raises(ValidationError) as error:
        make(**given)
    assert where in [problem.where for problem in problems_of(error.value)]


NOWHERE = [
    (3, "should be a valid path"),
    ("", "is empty; give a path"),
    ("a\0b", "cannot hold the character NUL"),
    ("a\ud800", "cannot hold text that is not Unicode"),
    ("a" * 256, "1000 bytes and 255 in a name"),
    ("ä" * 128, "1000 bytes and 255 in a name"),
    ("a/" * 2500, "1000 bytes and 255 in a name"),
]


@pytest.mark.parametrize(("value", "what"), NOWHERE)
def test_paths_that_no_file_can_have(value, what):
    for make, name in ((dataset, "train"), (ReportSettings, "published"), (stage("load"), "path")):
        if value == 3 and name == "path":
            continue
        with pytest.raises(ValidationError) as error:
            make(**{name: value})
        (problem,) = problems_of(error.value)
        assert problem.where == name
        assert what in problem.what


def test_what_is_not_a_number_is_left_as_it_is_by_a_range():
    adapter = TypeAdapter(bounded(int | str | None, ge=1))
    assert [adapter.validate_python(value) for value in (1, "x", None)] == [1, "x", None]
    with pytest.raises(ValidationError):
        adapter.validate_python(0)
    assert bounded(bool, ge=1) is bool
