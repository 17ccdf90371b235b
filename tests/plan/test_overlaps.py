"""Artifacts never lie among the files that a config reads, or among the files of the checkout."""

import shutil
import subprocess

import pytest

from kdpipe.errors import ConfigError
from kdpipe.plan.build import load_graph

TEXT = {"source": "text", "task": "language_modeling"}
PATTERN = {**TEXT, "path": "../texts/*.txt"}


@pytest.fixture
def there(tmp_path, monkeypatch, language_model):
    """The working folder, with a model and data of the user's."""
    monkeypatch.chdir(tmp_path)
    for name in ("models/bert", "other/models/bert", "student"):
        shutil.copytree(language_model, tmp_path / name)
    for name in (
        "data/text/train.txt",
        "texts/a.txt",
        "report/published.csv",
        "cards/published.csv",
        "counts/text/dev.txt",
        "data/hub/mine/train.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("the film\n")
    for name in ("report/published.csv", "cards/published.csv"):
        (tmp_path / name).write_text("model,dataset,metric,value\n")
    return tmp_path


def clash(path, artifact):
    remedy = "give `results` a folder of its own, or move the files"
    return f"{path} would lie together with the artifact {artifact}; {remedy}"


@pytest.mark.parametrize(("results", "settings", "where", "what"), [
    (".", {"models.bert.load.path": "models/bert"}, "models.bert.load.path", ("models/bert", "models/bert")),
    ("linked", {"models.bert.load.path": "models/bert"}, "models.bert.load.path",
     ("models/bert", "linked/models/bert")),
    (".", {"models.bert.load.path": "link"}, "models.bert.load.path", ("link", "models/bert")),
    ("student", {"models.bert.load.path": "student"}, "models.bert.load.path",
     ("student", "student/models/base")),
    (".", {"datasets.text": {**TEXT, "path": "text"}}, "datasets.text.path", ("data/text", "data/text")),
    ("data/text", {"datasets.text": {**TEXT, "path": "text"}}, "datasets.text.path", ("data/text",)),
    (".", {"datasets.text": {**TEXT, "path": "text/*.t?t"}}, "datasets.text.path",
     ("data/text/train.txt", "data/text")),
    (".", {"datasets.text": {**TEXT, "train": "text/train.txt"}}, "datasets.text.train",
     ("data/text/train.txt", "data/text")),
    (".", {"datasets.text": {**TEXT, "train": "../texts/a.txt", "splits": {"dev": "../counts/text/dev.txt"}}},
     "datasets.text.splits.dev", ("data/../counts/text/dev.txt", "counts/text")),
    (".", {"datasets.text": {**TEXT, "train": "../texts/a.txt",
                             "splits": {"path": "../counts/text/dev.txt"}}},
     "datasets.text.splits.path", ("data/../counts/text/dev.txt", "counts/text")),
    (".", {"report.published": "report/published.csv"}, "report.published",
     ("report/published.csv", "report")),
    (".", {"report.published": "cards/published.csv"}, "report.published", ("cards/published.csv", "cards")),
    ("results", {"datasets.text": {**TEXT, "path": "hub/mine"},
                 "datasets.hub": {"source": "text", "hub": "a/b"}},
     "datasets.text.path", ("data/hub/mine", "data/hub")),
])  # fmt: skip
def test_what_is_read_lies_apart_from_artifacts(there, config, changed, told, results, settings, where, what):
    (there / "linked").symlink_to(there)
    (there / "link").symlink_to(there / "models/bert")
    config["datasets"]["text"] = {"source": "pydoc", "task": "language_modeling"}
    mistakes = told(changed({"results": results, **settings}))
    found = [mistake for mistake in mistakes if mistake.startswith(f"{where}: ")]
    assert len(found) == 1
    assert found[0].startswith(f"{where}: {what[0]} would lie together with the artifact ")
    if what[1:]:
        assert found[0] == f"{where}: {clash(*what)}"


@pytest.mark.parametrize(("results", "settings"), [
    (".", {"models.other.load.path": "models/bert"}),
    ("other", {"models.bert.load.path": "models/bert"}),
    ("results", {"models.bert.load.path": "models/bert", "datasets.text": PATTERN}),
    (".", {"datasets.text": {**TEXT, "path": "../texts"}}),
    ("texts", {"datasets.text": PATTERN}),
    (".", {"models.bert.load.path": "models/nowhere"}),
])  # fmt: skip
def test_what_lies_apart_is_no_mistake(there, mistakes_of, results, settings):
    assert mistakes_of({"results": results, **settings}) == []


@pytest.mark.parametrize("folder", ["results", "results/knowledge/all", "linked/all"])
def test_what_several_results_share_lies_in_none_of_them(there, mistakes_of, folder):
    (there / "results").mkdir()
    (there / "linked").symlink_to(there / "results")
    what = f"{folder} lies in the results results, which others may remove; give a folder of its own"
    assert mistakes_of({"results": "results", "knowledge_dir": folder}) == [f"knowledge_dir: {what}"]


def test_a_folder_that_several_results_share_may_be_anywhere_else(there, mistakes_of):
    assert mistakes_of({"results": "all/results", "knowledge_dir": "all"}) == []
    (there / "file").touch()
    (mistake,) = mistakes_of({"knowledge_dir": "file/all"})
    assert mistake == "knowledge_dir: expected a folder, or a path where one can be made, but file is a file"


def test_names_that_snakemake_takes_for_patterns_are_told(there, mistakes_of):
    settings = {"datasets.text": PATTERN, "models.bert.load.path": "models/bert"}
    (there / "texts/{x}.md").touch()
    (there / "models/bert/{x}.txt").touch()
    assert mistakes_of(settings) == []
    (there / "texts/b<y>.txt").touch()
    (there / "models/bert/vocab{x}").touch()
    what = "Snakemake fills in what stands in braces or angle brackets; rename"
    assert mistakes_of(settings) == [
        f"models.bert.load.path: {what} models/bert/vocab{{x}}, or move it away",
        f"datasets.text: {what} data/../texts/b<y>.txt, or move it away",
    ]


def test_the_config_lies_apart_from_artifacts(there):
    file = there / "models/m/config.yaml"
    file.parent.mkdir()
    file.write_text("results: .\nmodels: {m: {load: {path: a/b}}}\n")
    with pytest.raises(ConfigError) as error:
        load_graph([file])
    assert str(error.value) == f"results: {clash(file, 'models/m')}"
    file.rename(there / "models/config.yaml")
    assert load_graph([there / "models/config.yaml"])
    (there / ".state").mkdir()
    (there / "models/config.yaml").rename(there / ".state/config-0.json")
    assert load_graph([there / ".state/config-0.json"])


def test_files_of_a_checkout_lie_apart_from_artifacts(there, mistakes_of):
    def git(*arguments):
        subprocess.run(["git", "-C", str(there), *arguments], check=True, capture_output=True)

    git("init", "--quiet")
    (there / "report/notes.md").write_text("mine")
    assert mistakes_of({"results": "."}) == []
    git("add", "report/notes.md", "texts")
    assert mistakes_of({"results": "."}) == [f"results: {clash('report/notes.md', 'report')}"]
    assert mistakes_of({"results": "texts"}) == []
    assert mistakes_of({"results": "results"}) == []
