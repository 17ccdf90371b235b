import json
from copy import deepcopy
from pathlib import Path

import pytest
from snakemake.utils import update_config

from kdpipe.config.document import Document, merge, parse_document, read_config
from kdpipe.config.mistakes import Mistakes
from kdpipe.errors import ConfigError


@pytest.mark.parametrize(("base", "overlay"), [
    ({}, {}),
    ({"a": 1}, {"b": 2}),
    ({"a": 1, "b": 2}, {"b": 3}),
    ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3, "d": {"e": 4}}}),
    ({"a": {"b": [1, 2, 3]}}, {"a": {"b": [4]}}),
    ({"a": {"b": {"c": 1}}}, {"a": 3}),
    ({"a": 3}, {"a": {"b": {"c": 1}}}),
    ({"a": {"b": 1}}, {"a": {}}),
    ({"a": {"b": 1}}, {"a": None}),
    ({"a": None}, {"a": {"b": 1}}),
    ({"a": [1]}, {"a": {"b": 1}}),
])  # fmt: skip
def test_files_merge_as_snakemake_merges_them(base, overlay):
    expected = deepcopy(base)
    update_config(expected, overlay)
    before = deepcopy((base, overlay))
    assert merge(base, overlay) == expected
    assert (base, overlay) == before


def test_several_files_merge_from_left_to_right(write):
    first = write("results: a\nreport: {title: one, over: [x, y]}", "first.yaml")
    second = write("results: b\nreport: {over: [z]}", "second.yaml")
    third = write(json.dumps({"results": "c"}), "third.json")
    assert read_config([first, second, third]) == {"results": "c", "report": {"title": "one", "over": ["z"]}}


def test_defaults():
    document = parse_document({"models": {"a": {}}}, Mistakes())
    assert (document.results, document.data_dir, document.seed) == (Path("results"), Path("data"), 42)
    assert document.report.over == ("seed",)


def test_the_environment_says_where_data_lies_unless_the_config_does(monkeypatch):
    monkeypatch.setenv("KDPIPE_DATA", "/somewhere")
    assert parse_document({"models": {"a": {}}}, Mistakes()).data_dir == Path("/somewhere")
    assert parse_document({"models": {"a": {}}, "data_dir": "here"}, Mistakes()).data_dir == Path("here")


def test_wrong_sections_are_left_out_after_they_are_told():
    mistakes = Mistakes()
    config = {
        "models": {"a": {}},
        "reslts": "x",
        "seed": -1,
        "threads": "two",
        "report": {"title": "T", "baselin": "a", "plots": [{"x": "a"}]},
    }
    document = parse_document(config, mistakes)
    assert sorted(map(str, mistakes.problems)) == [
        "report.baselin: unknown key; did you mean 'baseline'?",
        "report.plots[0].y: is required",
        "reslts: unknown key; did you mean 'results'?",
        "seed: should be greater than or equal to 0, found -1",
        "threads: should be a valid integer, found 'two'",
    ]
    assert (document.seed, document.threads, document.report.title) == (42, 2, "T")


@pytest.mark.parametrize(("config", "mistake"), [
    ({}, "models: is required"),
    ({"models": {}}, "models: expected at least one"),
    ({"models": 3}, "models: should be a valid mapping, found 3"),
    ({"models": {"a": {}}, "datasets": []}, "datasets: should be a valid mapping, found []"),
    ({"models": {"a": {}}, "matrix": 3}, "matrix: should be a valid mapping or a valid list, found 3"),
    ({"models": {1: {}}}, "models.1: names are strings; put this one in quotes"),
])  # fmt: skip
def test_nothing_more_is_said_of_a_config_without_its_main_sections(config, mistake):
    with pytest.raises(ConfigError) as error:
        parse_document(config, Mistakes())
    assert str(error.value) == mistake


def test_a_setting_is_placed_where_it_is_written():
    document = Document(
        models={"a": {"finetune": {"training": {"x": 1}, "evaluate": ["b"]}}},
        defaults={"finetune": {"training": {"x": 2, "y": [3]}}},
    )
    assert document.place("a", "finetune", ("training", "x")) == ("models", "a", "finetune", "training", "x")
    assert document.place("a", "finetune", ("training", "y", 0)) == (
        "defaults",
        "finetune",
        "training",
        "y",
        0,
    )
    assert document.place("a", "finetune", ("training", "z")) == ("models", "a", "finetune", "training", "z")
    assert document.place("a", "finetune", ("evaluate", 0)) == ("models", "a", "finetune", "evaluate", 0)
    assert document.place("a", "finetune", ()) == ("models", "a", "finetune")
