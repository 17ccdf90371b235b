"""`kdpipe run` finds what keeps Snakemake from reading the workflow, and is Snakemake otherwise."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kdpipe.cli import main
from kdpipe.commands.run import _warn_of_cores, start
from kdpipe.errors import EXIT_STATUS
from tests.workflow.conftest import ROOT, jobs


def run(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "kdpipe.cli", "run", *arguments]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )


def refused(done: "subprocess.CompletedProcess[str]") -> str:
    """Return the only line that a command has printed, which tells a mistake."""
    assert done.returncode == EXIT_STATUS, done.stderr
    assert done.stdout == ""
    return done.stderr.splitlines()[0]


@pytest.fixture
def config(tmp_path: Path, language_model: Path) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"models": {"base": {"load": {"path": str(language_model)}}}}))
    return str(path)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that nobody can write into, not even a superuser."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: None, "No such file or directory"),
        (Path.mkdir, "is a folder"),
        (os.mkfifo, "is no regular file"),
        (lambda path: path.write_bytes(b"models: {a: \xff}"), "is not text in UTF-8"),
    ],
)
def test_a_config_that_cannot_be_read(tmp_path: Path, make, what: str) -> None:
    make(tmp_path / "own.yaml")
    line = refused(run(tmp_path, "own.yaml"))
    assert line.startswith("own.yaml: ")
    assert what in line


def test_a_mistake_in_a_config(tmp_path: Path, config: str) -> None:
    Path(config).write_text("models: {base: {lod: {}}}")
    assert refused(run(tmp_path, config)).startswith("models.base.lod: there is no stage 'lod'; did you mean")


def test_a_working_folder_that_cannot_be_written(read_only: Path, config: str) -> None:
    line = refused(run(read_only, config))
    assert line.startswith("the working folder: ")
    assert "read-only file system" in line


@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME"])
def test_a_home_that_cannot_be_written(tmp_path: Path, read_only: Path, config: str, variable: str) -> None:
    places = {"HOME": str(tmp_path), "XDG_CACHE_HOME": "", variable: str(read_only)}
    line = refused(run(tmp_path, config, **places))
    assert line.startswith("the user's cache (HOME, XDG_CACHE_HOME): ")


def test_a_home_that_is_a_file(tmp_path: Path, config: str) -> None:
    line = refused(run(tmp_path, config, HOME=config, XDG_CACHE_HOME=""))
    assert line.startswith("the user's cache (HOME, XDG_CACHE_HOME): ")
    assert "Not a directory" in line


@pytest.mark.parametrize("put", [Path.touch, lambda path: path.symlink_to("nowhere")])
def test_a_folder_of_snakemake_s_that_cannot_be_made(tmp_path: Path, config: str, put) -> None:
    put(tmp_path / ".snakemake")
    assert refused(run(tmp_path, config)) == "Snakemake's folder: .snakemake: File exists"


@pytest.mark.parametrize(
    "flag", ["--configfile=own.yaml", "--configfiles", "--configf", "--dir=x", "--di", "--snake", "-s", "-dx"]
)
def test_what_stands_before_the_dashes(tmp_path: Path, config: str, flag: str) -> None:
    line = refused(run(tmp_path, config, "--", "-n", flag, "own.yaml"))
    assert line == f"{flag}: give configs before `--`, and start in the folder to work in"


@pytest.mark.parametrize("cores", ["x", "0", "-1", "9" * 5000])
def test_cores_that_there_cannot_be(tmp_path: Path, config: str, cores: str) -> None:
    done = run(tmp_path, config, f"--cores={cores}")
    assert done.returncode == EXIT_STATUS
    assert "expected a number of processor cores, or all, found" in done.stderr


def test_a_working_folder_that_is_gone(tmp_path: Path, config: str) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    shell = f"cd {gone} && rmdir {gone} && exec {sys.executable} -m kdpipe.cli check {config}"
    done = subprocess.run(
        shell, shell=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert refused(done) == "the working folder has been removed; change to another folder"


@pytest.mark.slow
def test_it_is_snakemake_that_runs(tmp_path: Path, config: str) -> None:
    done = run(tmp_path, config, "--cores", "1", "--", "--nocolor", "-n")
    assert done.returncode == 0, done.stderr
    assert f"snakemake --configfile {config} --snakefile" in done.stderr
    assert done.stderr.splitlines()[0].endswith("--cores 1 --nocolor -n")
    assert jobs(done.stdout + done.stderr) == ["card", "load", "report"]
    assert run(tmp_path, config, "--cores", "1", "--", "no-such-rule").returncode == 1


@pytest.mark.slow
def test_data_are_looked_at_first(tmp_path: Path, config: str) -> None:
    content = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
    content |= {"datasets": {"d": {"source": "text", "path": str(tmp_path / "none.txt")}}}
    Path(config).write_text(yaml.safe_dump(content), encoding="utf-8")
    assert refused(run(tmp_path, config)).startswith("datasets.d: expected data files ")
    assert run(tmp_path, config, "--no-data", "--", "-n").returncode == 0


def test_configs_and_models_stand_before_and_after_options(
    tmp_path: Path, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []
    monkeypatch.setattr("os.execv", lambda _, command: commands.append(command[3:]))
    monkeypatch.chdir(tmp_path)
    for words in (["base", "--cores", "1", config], [config, "--cores", "1", "base"]):
        main(["run", *words, "--no-data"])
    shipped = str(ROOT / "config/textbrewer-conll.yaml")
    main(["run", "textbrewer-conll", "--no-data"])
    (tmp_path / "base").touch()
    main(["run", "base", config, "--no-data"])
    targets = [command[: command.index("--configfile")] for command in commands]
    assert targets == [["results/models/base/SHA256SUMS"]] * 2 + [[], ["results/models/base/SHA256SUMS"]]
    assert commands[2][1] == shipped
    with pytest.raises(SystemExit):
        main(["run", config, "--core-dump"])


def test_models_that_are_measured_are_measured(
    tmp_path: Path, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []
    monkeypatch.setattr("os.execv", lambda _, command: commands.append(command[3:]))
    monkeypatch.chdir(tmp_path)
    content = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
    content["models"]["cut"] = {"extract": {"model": "base", "layers": "first:1"}}
    content["measure"] = {"models": ["cut"], "latency": {"length": [8]}}
    Path(config).write_text(yaml.safe_dump(content), encoding="utf-8")
    start([Path(config)], ["base", "cut"], None, [], data=False)
    [command] = commands
    assert command[: command.index("--configfile")] == [
        "results/models/base/SHA256SUMS",
        "results/models/cut/SHA256SUMS",
        "results/measurements/cut/SHA256SUMS",
    ]


@pytest.mark.slow
def test_some_models_are_made_and_no_report(tmp_path: Path, config: str) -> None:
    content = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
    content["matrix"] = {"n": [1, 2]}
    content["models"]["cut-{n}"] = {"extract": {"model": "base", "layers": "first:1"}}
    Path(config).write_text(yaml.safe_dump(content), encoding="utf-8")
    cuts = ["extract cut-1", "extract cut-2"]
    for names, listed in ((["cut-1"], cuts[:1]), (["cut-{n}"], cuts)):
        done = run(tmp_path, *names, "--dry-run")
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert f"{len(listed) + 1} jobs to run" in lines
        assert sorted(line.strip() for line in lines if line.startswith("  ")) == [*listed, "load base"]
    done = run(tmp_path, "cut-1", "--dry-run", "--", "--verbose")
    assert jobs(done.stdout + done.stderr) == ["extract", "load"]
    assert refused(run(tmp_path, config, "cut-3")) == "'cut-3': there is no such model; did you mean 'cut-2'?"


def test_what_is_run_on_a_cluster(tmp_path: Path, config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = []
    monkeypatch.setattr("os.execv", lambda _, command: commands.append(command[3:]))
    monkeypatch.chdir(tmp_path)
    start([Path(config)], [], None, ["--profile", "site"], slurm=True)
    profile = ["--workflow-profile", str(ROOT / "profiles/slurm")]
    assert commands == [
        ["--configfile", config, "--snakefile", str(ROOT / "Snakefile"), *profile, "--profile", "site"]
    ]


def test_more_cores_than_there_are_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    for cores, slurm in (("4", False), ("all", False), (None, False), ("64", True)):
        _warn_of_cores(cores, slurm)
    assert capsys.readouterr().err == ""
    _warn_of_cores("64", False)
    assert capsys.readouterr().err.startswith("--cores 64: this machine has 4, ")
