"""Outlines of source files are stored between runs, and results do not depend on the store."""

import ast
from pathlib import Path

import pytest

from kdpipe.plan.outlines import Outline, outline

DAMAGED = ["", "[]", "null", "[" * 100_000, '{"names": []}', '{"names": 3, "digest": "0"}', "\0"]
DAMAGED += ['{"names": ["json"], "digest": null}', '{"names": [3], "digest": "0"}']
SOURCE = 'import json\n\nfrom kdpipe import catalog\n\nCLASS = "kdpipe.models.bigru:BiGRU"\n'


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's caches."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources that were parsed."""
    sources: list[str] = []
    parse = ast.parse

    def count(source: str) -> ast.Module:
        sources.append(source)
        return parse(source)

    monkeypatch.setattr(ast, "parse", count)
    return sources


def kept(cache: Path) -> list[Path]:
    return list(cache.glob("kdpipe/outlines/*"))


def test_names_are_imports_and_classes_that_are_named_by_texts(cache):
    assert outline(SOURCE).names == ["json", "kdpipe.models.bigru:BiGRU", "kdpipe:catalog"]


def test_a_source_is_parsed_once(cache, parsed):
    found = outline(SOURCE)
    assert isinstance(outline(SOURCE), Outline)
    assert outline(SOURCE) == found
    assert parsed == [SOURCE]
    assert outline(f"{SOURCE}x = 1\n") != found
    assert len(kept(cache)) == 2


@pytest.mark.parametrize("damaged", DAMAGED)
def test_what_is_damaged_is_worked_out_again(cache, parsed, damaged):
    found = outline(SOURCE)
    (file,) = kept(cache)
    file.write_text(damaged)
    assert outline(SOURCE) == found
    assert outline(SOURCE) == found
    assert len(parsed) == 2


def test_where_nothing_can_be_kept_nothing_is(cache, parsed):
    (cache / "kdpipe").write_text("not a folder")
    assert outline(SOURCE) == outline(SOURCE)
    assert parsed == [SOURCE, SOURCE]


def test_a_user_without_a_home_keeps_nothing(monkeypatch, parsed):
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    assert outline(SOURCE) == outline(SOURCE)
    assert parsed == [SOURCE, SOURCE]
