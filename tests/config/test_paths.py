"""Paths that no file system has, and folders that the workflow cannot write."""

import os

import pytest

LONG = "x" * 5000
FILES = {"source": "text", "task": "language_modeling"}


@pytest.mark.parametrize("setting", [
    "results", "data_dir", "report.published", "datasets.text.path", "datasets.text.train",
    "datasets.text.validation", "datasets.text.splits.more", "models.base.load.path",
])  # fmt: skip
@pytest.mark.parametrize(("path", "what"), [
    (LONG, "paths have at most 1000 bytes and 255 in a name, found 5000 and 5000: 'xxx"),
    ("é" * 128, "found 256 and 256: 'ééé"),
    ("/".join(["y" * 200] * 6), "found 1205 and 200: 'yyy"),
    ("a\0b", "a path cannot hold the character NUL, found 'a\\x00b'"),
    ("a/{x}", "Snakemake fills in what stands in braces or angle brackets; take them out, found 'a/{x}'"),
    ("~/data", "`~` stands for no home folder here; write the path out, found '~/data'"),
])  # fmt: skip
def test_a_path_that_no_file_system_has(mistakes_of, config, setting, path, what):
    config["datasets"]["text"], config["models"]["base"] = dict(FILES), {"load": {}}
    (mistake,) = [mistake for mistake in mistakes_of({setting: path}) if mistake.startswith(f"{setting}: ")]
    assert what in mistake
    assert len(mistake) < 200


@pytest.mark.parametrize("setting", ["results", "data_dir"])
@pytest.mark.parametrize(("path", "what"), [
    ("~", "`~` stands for no home folder here"),
    ("", "is empty; give a path"),
    ("a\nb", "cannot have line breaks"),
    ("a\tb", "cannot have line breaks or the like"),
    ("{x}", "Snakemake fills in what stands in braces"),
    ("/scratch/{", "Snakemake fills in what stands in braces"),
    ("a<b>", "braces or angle brackets; take them out, found 'a<b>'"),
    ("-rf", "commands take for an option what begins with `-`; write the whole path, found '-rf'"),
    ("a:b", "what begins with a word and a colon is taken for an address; write the whole path"),
    ("s3://bucket", "is taken for an address"),
    (" a", "take out the blanks at its ends, found ' a'"),
    ("x" * 300, "found 300 and 300"),
    ("a/" + "x" * 101, "its last name may have 100 bytes, found 101"),
])  # fmt: skip
def test_a_folder_that_the_workflow_cannot_write(mistakes_of, setting, path, what):
    (mistake,) = mistakes_of({setting: path})
    assert mistake.startswith(f"{setting}: ")
    assert what in mistake


@pytest.mark.parametrize("path", [
    ".", "..", "a/../b", "/scratch/a:b", "q'\"u é漢 $x;&#=%@!(b), `e`|\\", "g*[x]?", "x" * 100, "a/-rf",
])  # fmt: skip
def test_folders_that_it_can(graph_of, tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    assert str(graph_of({"results": path}).document.results) == path


def test_the_environment_is_checked_as_the_config_is(mistakes_of, monkeypatch):
    monkeypatch.setenv("KDPIPE_DATA", "{x}")
    (mistake,) = mistakes_of({})
    assert mistake.startswith("data_dir: Snakemake fills in")


def test_results_where_there_can_be_no_folder(mistakes_of, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "nowhere").symlink_to(tmp_path / "none")
    (tmp_path / "root").symlink_to("/")
    for name, what in {
        "file": f"{tmp_path}/file is a file",
        "file/below/it": f"{tmp_path}/file is a file",
        "loop": f"{tmp_path}/loop is a link that leads to no folder",
        "nowhere/below": f"{tmp_path}/nowhere is a link that leads to no folder",
        "root": "the root of a file system cannot hold results; give a folder of its own",
    }.items():
        (mistake,) = mistakes_of({"results": str(tmp_path / name)})
        assert mistake.startswith("results: ")
        assert mistake.endswith(what)


def test_results_may_be_a_link_to_a_folder(mistakes_of, tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "scratch")
    assert mistakes_of({"results": str(tmp_path / "results")}) == []


@pytest.fixture
def closed(tmp_path):
    """A folder that this process may not look into."""
    folder = tmp_path / "closed"
    (folder / "model").mkdir(parents=True)
    folder.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    folder.chmod(0o700)


def test_what_may_not_be_looked_at_is_told(told, closed):
    (mistake,) = told({"models": {"a": {"load": {"path": f"{closed}/model"}}}})
    assert mistake.startswith(str(closed.parent))
    assert mistake.endswith(": cannot be read: Permission denied")
