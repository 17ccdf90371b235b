from importlib import import_module

import pytest

from kdpipe import catalog
from kdpipe.config.signatures import constructor_options
from kdpipe.errors import KdpipeError

# The kinds whose constructors take what a config says; the code itself makes the others.
OPTIONS_IN_CONFIGS = ("losses", "sources", "methods", "tasks", "families")


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in catalog.KINDS.items() for name in names]
)
def test_every_name_leads_to_its_code(kind, name):
    found = catalog.resolve(kind, name)
    assert callable(import_module(found(name).module).run if kind == "stages" else found)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in OPTIONS_IN_CONFIGS for name in catalog.KINDS[kind]]
)
def test_what_a_config_may_give_to_an_entry_is_read_from_its_source(kind, name):
    """A parameter that cannot be read raises an error that names it."""
    read = constructor_options(catalog.KINDS[kind][name])
    assert not [option for option, found in read.items() if "Any" in str(found.type)]


def test_it_holds_nothing_but_names_of_code():
    """It counts for no stage, so what else decides a result would change unseen."""
    tables = {name: value for name, value in vars(catalog).items() if name.isupper() and name != "KINDS"}
    assert tables == {kind.upper(): entries for kind, entries in catalog.KINDS.items()}


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(KdpipeError, match="losses: 'kll' is not known; did you mean 'kl'"):
        catalog.resolve("losses", "kll")
