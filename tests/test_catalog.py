from importlib import import_module

import pytest

from kdpipe import catalog
from kdpipe.errors import KdpipeError


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in catalog.KINDS.items() for name in names]
)
def test_every_name_leads_to_its_code(kind, name):
    found = catalog.resolve(kind, name)
    assert callable(import_module(found(name).module).run if kind == "stages" else found)


def test_it_holds_nothing_but_names_of_code():
    """It counts for no stage, so what else decides a result would change unseen."""
    tables = {name: value for name, value in vars(catalog).items() if name.isupper() and name != "KINDS"}
    assert tables == {kind.upper(): entries for kind, entries in catalog.KINDS.items()}


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(KdpipeError, match="losses: 'kll' is not known; did you mean 'kl'"):
        catalog.resolve("losses", "kll")
