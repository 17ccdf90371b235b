from types import NoneType

import pytest

from kdpipe import catalog
from kdpipe.config.docs import meanings, summary_of
from kdpipe.config.document import Document
from kdpipe.config.settings.base import UNAVAILABLE, Settings
from kdpipe.config.settings.dataset import CombineSettings, source_settings
from kdpipe.config.settings.losses import term_settings
from kdpipe.plan.model_stage import model_stages


class Parent(Settings):
    """A parent.

    Args:
        one: the first.
        two: the second,
            on two lines: with a colon.
    """

    one: int
    two: int


class Child(Parent):
    """A child.

    Args:
        one: another first.
    """

    three: int


def test_meanings_are_read_from_docstrings_of_all_parents():
    assert summary_of(Child) == "A child."
    assert meanings(Child) == {"one": "another first.", "two": "the second, on two lines: with a colon."}


@pytest.mark.parametrize(
    "model", [Document, CombineSettings, *(stage.settings for stage in model_stages().values())]
)
def test_every_setting_has_a_meaning(model):
    available = {name for name, field in model.model_fields.items() if UNAVAILABLE not in field.metadata}
    assert meanings(model).keys() == available


@pytest.mark.parametrize(
    "model", [*map(term_settings, catalog.LOSSES), *map(source_settings, catalog.SOURCES)]
)
def test_every_option_of_terms_and_sources_has_a_meaning(model):
    assert meanings(model).keys() >= {
        name for name, field in model.model_fields.items() if field.annotation is not NoneType
    }
