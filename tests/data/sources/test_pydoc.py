"""Docstrings of installed packages."""

import sys

import pytest

from kdpipe.data.source import STANDARD_SPLITS
from kdpipe.data.sources.pydoc import STDLIB, PydocSource
from kdpipe.errors import DataError

ALPHA = '''
"""Tools that the alpha package has for its users."""
raise RuntimeError("sources must not be imported")

class Reader:
    """Read a file of records.

    Every record
      is a line.
    """

    def read(self):
        """Return the next record of this very file."""
        def inner():
            """Not a docstring that anyone can look up."""

def short():
    """Too short."""

def empty():
    """  """
'''
BETA = '''
def same():
    """RETURN the next 2 records, of this very file!"""

def own():
    """Return what only the beta package knows about."""
'''


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Two packages that are installed, the second with files that must be passed over."""
    files = {
        "alpha_docs/__init__.py": ALPHA,
        "beta_docs/__init__.py": "",
        "beta_docs/core.py": BETA.replace("2 records,", "record"),
        "beta_docs/template.py": '"""{{ not }} Python""" ) (',
        "beta_docs/tests/test_core.py": '"""Tests are not among what is read here."""',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return ["alpha_docs", "beta_docs"]


def everything(source):
    return [example for split in STANDARD_SPLITS for example in source.read(split)]


def test_whole_docstrings_as_text(packages):
    source = PydocSource(task="language_modeling", packages=packages)
    found = {example.id: example.text for example in everything(source)}
    assert found == {
        "alpha_docs:2": "Tools that the alpha package has for its users.",
        "alpha_docs:6": "Read a file of records. Every record is a line.",
        "alpha_docs:13": "Return the next record of this very file.",
        "alpha_docs:18": "Too short.",
        "beta_docs.core:6": "Return what only the beta package knows about.",
    }
    assert source.labels is None
    assert "alpha_docs" not in sys.modules


def test_summaries_as_classes(packages):
    source = PydocSource(task="classification", packages=packages)
    assert source.labels == ("alpha_docs", "beta_docs")
    found = {example.id: (example.text, example.label) for example in everything(source)}
    assert found == {
        "alpha_docs:2": ("Tools that the alpha package has for its users.", "alpha_docs"),
        "alpha_docs:6": ("Read a file of records.", "alpha_docs"),
        "alpha_docs:13": ("Return the next record of this very file.", "alpha_docs"),
        "beta_docs.core:6": ("Return what only the beta package knows about.", "beta_docs"),
    }


def test_of_equal_texts_the_first_package_keeps_it(packages):
    source = PydocSource(task="classification", packages=packages[::-1])
    labels = {example.id: example.label for example in everything(source)}
    assert labels["beta_docs.core:3"] == "beta_docs"
    assert "alpha_docs:13" not in labels


def test_a_package_that_is_not_installed():
    source = PydocSource(task="language_modeling", packages=["no_such_package"])
    with pytest.raises(DataError, match="found none of the name 'no_such_package'"):
        next(source.read("train"))


def test_an_unknown_split(packages):
    with pytest.raises(DataError, match="expected a split 'dev', found train, validation, test"):
        next(PydocSource(task="language_modeling", packages=packages).read("dev"))


@pytest.mark.slow
def test_standard_library():
    source = PydocSource(task="language_modeling", packages=[STDLIB])
    splits = {split: list(source.read(split)) for split in STANDARD_SPLITS}
    modules = {
        split: {example.id.partition(":")[0] for example in examples} for split, examples in splits.items()
    }
    assert "json.decoder" in set.union(*modules.values())
    assert {m.partition(".")[0] for m in set.union(*modules.values())} <= sys.stdlib_module_names
    assert sum(map(len, modules.values())) == len(set.union(*modules.values()))
    texts = [example.text.lower() for examples in splits.values() for example in examples]
    assert len(set(texts)) == len(texts) > 3000
    assert 0.7 < len(splits["train"]) / len(texts) < 0.9
