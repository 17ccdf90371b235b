"""Rules of single stages beyond the names and types of their settings."""

import pytest
from pydantic import ValidationError

from kdpipe.config.mistakes import explain
from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.extract import ExtractSettings
from kdpipe.plan.stages.load import LoadSettings
from kdpipe.plan.stages.pretrain import PretrainSettings

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


@pytest.mark.parametrize("key", ["knowledge", "interchange", "sampling", "ensemble"])
def test_what_distill_cannot_do_yet_is_refused_by_name(key):
    assert mistakes_in(DistillSettings, **DISTILL, **{key: {}}) == [((key,), "not available in this version")]


def test_several_teachers_are_refused_by_name():
    found = mistakes_in(DistillSettings, **{**DISTILL, "teacher": ["a", "b"]})
    assert found == [(("teacher",), "several teachers are not available in this version")]


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
