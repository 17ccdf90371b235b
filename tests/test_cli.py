import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from kdpipe import catalog
from kdpipe.cli import main
from kdpipe.plan.model_stage import model_stages

ROOT = Path(__file__).parents[1]
DEFAULT = str(ROOT / "config.yaml")
HEAVY = ("torch", "transformers", "numpy", "pandas", "pyarrow", "datasets", "sklearn")


@pytest.fixture
def run(capsys):
    """A function that runs a command and returns its exit status, standard output and standard error."""

    def command(*arguments):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            return end.code, *capsys.readouterr()
        return 0, *capsys.readouterr()

    return command


def test_check_of_a_good_config(run):
    status, output, errors = run("check", DEFAULT)
    assert (status, errors) == (0, "")
    assert output.endswith("no mistakes\n")
    assert "(teacher, student) (0, 0)" in output


def test_check_of_a_bad_config(run, write):
    status, output, errors = run("check", write("models: {a: {laod: {}}, b: {load: {pth: x}}}\nsed: 1"))
    assert (status, output) == (2, "")
    assert errors.splitlines() == [
        "sed: unknown key; did you mean 'seed'?",
        "models.a.laod: there is no stage 'laod'; did you mean 'load'?",
        "models.b.load.path: is required",
        "models.b.load.pth: unknown key; did you mean 'path'?",
        "4 mistakes found",
    ]


def test_one_mistake_is_one(run, write):
    assert run("check", write("models: {a: {load: {path: x}}}\nsed: 1"))[2].endswith("\n1 mistake found\n")


def test_several_files_are_merged(run, write):
    base = write("models: {a: {load: {path: x/y}}}\nreport: {baseline: a}", "base.yaml")
    overlay = write("models: {b: {extract: {model: a, layers: [0]}}}\nreport: {baseline: c}", "overlay.yaml")
    assert run("check", base)[0] == 0
    assert run("check", overlay)[0] == 2
    status, _, errors = run("check", base, overlay)
    assert (status, errors.splitlines()[0]) == (2, "report.baseline: there is no model 'c'; there is a, b")


@pytest.mark.parametrize("text", [
    "models: {a: {load: {path: b, revision: 2024-02-30}}}",
    "seed: 0x_",
    f"models: {'[' * 10_000}",
    json.dumps({"models": 0}).replace("0", '{"a":' * 10_000 + "0" + "}" * 10_000),
    "models: {a: {load: {path: 'package:__main__'}}}",
    f"models: {{a: {{load: {{path: {'x' * 5000}}}}}}}",
    'models: {a: {load: {path: "a\\0b"}}}',
    "models: {a: {load: {path: x/y}}, b: {extract: {model: a, layers: 'first:1000000000000'}}}",
    f"matrix: {{{', '.join(f'v{i}: [1, 2, 3]' for i in range(60))}}}\nmodels: {{a: {{load: {{path: x/y}}}}}}",
    "models: {true: {load: {path: x/y}}}",
    "models: {a: {load: {path: x/y}}}\nresults: '~'",
])  # fmt: skip
def test_a_config_with_values_that_nobody_expects(run, write, text):
    status, output, errors = run("check", write(text))
    assert (status, output) == (2, "")
    assert errors.endswith("\n1 mistake found\n")
    assert len(errors) < 600


def test_a_missing_file(run, tmp_path):
    status, output, errors = run("check", tmp_path / "none.yaml")
    assert (status, output) == (2, "")
    assert errors.startswith(f"{tmp_path / 'none.yaml'}: cannot be read: No such file")


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", DEFAULT, "--no-data"],
        ["graph", DEFAULT],
        ["schema"],
        ["describe", "distill"],
        ["list", "losses"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_checking_imports_nothing_heavy(arguments):
    assert_light(arguments)


def test_a_model_is_described_without_anything_heavy(folder):
    assert_light(["describe", str(folder)])


def assert_light(arguments):
    code = (
        f"import sys; from kdpipe.cli import main; main({arguments!r}); "
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr == "[]\n"
    assert result.stdout


def test_looking_at_data_imports_no_torch(sst2, write):
    data = {"source": "glue", "name": "SST-2", "path": str(sst2)}
    config = {"datasets": {"d": data}, "models": {"base": {"load": {"path": "a/b"}}}}
    code = (
        f"import sys; from kdpipe.cli import main; main(['check', {str(write(json.dumps(config)))!r}]); "
        "print([name for name in ('torch', 'transformers', 'pandas', 'sklearn') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.endswith("no mistakes\n[]\n")


def test_data_are_looked_at_but_for_no_data(run, write, monkeypatch):
    monkeypatch.setenv("KDPIPE_DATA", "/nowhere")
    config = write(
        "datasets: {a: {source: glue, name: RTE, path: RTE}, b: {source: text, path: b.txt}}\n"
        "models: {m: {load: {path: a/b}}}"
    )
    status, output, errors = run("check", config)
    assert (status, output) == (2, "")
    first, second, count = errors.splitlines()
    assert first.startswith(
        "datasets.a: expected data files train.tsv, dev.tsv, test.tsv; found nothing at /now"
    )
    assert first.endswith("which the environment's KDPIPE_DATA can set")
    assert second.startswith("datasets.b: expected data files ")
    assert count == "2 mistakes found"
    for command in (["check", "--no-data"], ["graph"]):
        assert run(*command, config)[0] == 0


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "kdpipe.cli", "list", "sources"]
    assert "glue" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_graph_as_text_and_as_mermaid(run):
    status, output, _ = run("graph", DEFAULT)
    assert status == 0
    assert "teacher  finetune(model base, dataset packages)  -> scored on packages" in output
    status, output, _ = run("graph", "--mermaid", DEFAULT)
    assert status == 0
    assert output.startswith("flowchart LR\n")


def test_a_config_is_shrunk_to_a_folder(run, tmp_path, monkeypatch):
    monkeypatch.setenv("KDPIPE_DATA", str(tmp_path / "nothing"))
    folder = tmp_path / "small"
    status, output, _ = run("shrink", ROOT / "config/rosita.yaml", "--output", folder, "--value", "task=mnli")
    assert status == 0
    assert output.splitlines() == [
        "made up: dataset mnli, model bert",
        f"report: {folder / 'results/report/report.html'}, after this command:",
        f"kdpipe run {folder / 'config.yaml'} --cores 2",
    ]
    assert run("check", folder / "config.yaml")[0] == 0
    assert (folder / "data/mnli/dev_mismatched.tsv").exists()


def test_a_config_is_not_shrunk_over_itself_or_other_files(run, tmp_path, write, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = write("models: {a: {load: {path: bert-base-cased}}, b: {extract: {model: a, layers: [0]}}}")
    before = config.read_text()
    for output in (".", "", tmp_path, tmp_path.parent, "/"):
        status, printed, errors = run("shrink", config, "--output", output)
        assert (status, printed) == (2, "")
        assert f"contains {config}, which this command reads" in errors
    (tmp_path / "other").mkdir()
    other = write("models: {}", "other/config.yaml")
    status, _, errors = run("shrink", config, "--output", "other")
    assert (status, "other is not empty" in errors) == (2, True)
    assert run("shrink", config, "--output", "small")[0] == 0
    assert run("shrink", config, "--output", "small")[0] == 0
    status, _, errors = run("shrink", "small/config.yaml", "--output", "small")
    assert (status, "small contains small/config.yaml, which this command reads" in errors) == (2, True)
    assert (config.read_text(), other.read_text()) == (before, "models: {}")
    assert run("shrink", config, "--output", "{x}")[2].startswith("--output: Snakemake fills in")


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("file", "File exists"),
        ("file/small", "Not a directory"),
        ("/proc/small", "No such file or directory"),
    ],
)
def test_an_output_that_is_no_folder(run, tmp_path, write, output, why):
    config = write("models: {base: {load: {path: bert-base-uncased}}}")
    output = write("", "file").parent / output
    status, _, errors = run("shrink", config, "--output", output)
    assert status == 2
    assert errors.startswith("--output: expected a folder, or a path where one can be made: ")
    assert errors.endswith(f"{why}: '{output}'\n")


@pytest.mark.parametrize("value", ["task=wnli", "tusk=mnli"])
def test_a_value_that_the_matrix_lacks(run, tmp_path, value):
    status, _, errors = run(
        "shrink", ROOT / "config/rosita.yaml", "--output", tmp_path / "s", "--value", value
    )
    assert status == 2
    assert "there is no va" in errors
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("stage", model_stages())
def test_every_stage_is_described(run, stage):
    status, output, _ = run("describe", stage)
    assert status == 0
    assert "seed" in output


@pytest.fixture
def folder(tmp_path):
    """A folder of a model with one module, of a family that is not known."""
    (tmp_path / "config.json").write_text('{"architectures": ["Mine"]}')
    save_file({"layer.weight": np.zeros((3, 4), np.float32)}, tmp_path / "model.safetensors")
    return tmp_path


def test_a_folder_of_a_model_is_described(run, folder):
    status, output, errors = run("describe", folder, "--depth", 1)
    assert (status, errors) == (0, "")
    assert [line.split() for line in output.splitlines()[2:]] == [
        ["module", "parameters", "share", "memory"],
        ["layer", "12", "100.00", "%", "0.00", "MB"],
    ]
    assert "\n  weight " in run("describe", folder)[1]


def test_what_cannot_be_described_is_told(run, tmp_path):
    assert run("describe", "prunes")[::2] == (
        2,
        "'prunes' is neither a name of `kdpipe list` nor the folder of a model; did you mean 'prune'?\n",
    )
    status, _, errors = run("describe", tmp_path)
    assert (status, errors.count("\n")) == (2, 1)
    assert errors.startswith(f"{tmp_path / 'config.json'} cannot be read (there is none)")


def test_a_shipped_config_is_found_from_anywhere(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("textbrewer-conll", "config/textbrewer-conll.yaml", "textbrewer-conll.yaml"):
        assert run("check", "--no-data", path)[::2] == (0, "")
    status, _, errors = run("check", "textbrewer-colln.yaml")
    what = (
        "textbrewer-colln.yaml: cannot be read: No such file or directory; did you mean 'textbrewer-conll'?"
    )
    assert (status, errors) == (2, f"{what}\n")


def test_the_config_of_the_folder_comes_before_the_default_run(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, output, errors = run("graph")
    assert "narrow-student" in output
    assert errors == "there is no config.yaml here, so the default run of kdpipe is taken\n"
    (tmp_path / "config.yaml").write_text("models: {mine: {load: {path: a/b}}}")
    assert run("graph")[1] == "mine  load()\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_shells_complete_commands(run, shell):
    status, output, _ = run("completion", shell)
    assert status == 0
    assert "shrink" in output
    assert "dry-run" in output


def test_a_shell_takes_its_script(run, tmp_path):
    (tmp_path / "script").write_text(run("completion", "bash")[1])
    code = (
        f"source {tmp_path / 'script'}; COMP_WORDS=(kdpipe shr); COMP_CWORD=1; _shtab_kdpipe; echo $COMPREPLY"
    )
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True)
    assert done.stdout == "shrink\n"
    (tmp_path / "mine.yaml").touch()
    asked = "COMP_WORDS=(kdpipe check mi); COMP_CWORD=2; _shtab_kdpipe; echo $COMPREPLY"
    code = f"cd {tmp_path}; source {tmp_path / 'script'}; {asked}"
    assert subprocess.run(["bash", "-c", code], capture_output=True, text=True).stdout == "mine.yaml\n"


def test_configs_stand_before_and_after_options(run, write):
    base = write("models: {a: {load: {path: x/y}}}", "base.yaml")
    overlay = write("models: {b: {extract: {model: a, layers: [0]}}}", "overlay.yaml")
    assert run("graph", base, "--mermaid", overlay)[1].count("-->|model|") == 1
    assert run("describe", "kl", "--depth", "2", base)[0] == 2


def test_a_config_is_written_for_a_file_as_options_say(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"h\u00fcbsch {n}\tnicht so {n}\t{n % 2}\n" for n in range(9))
    (tmp_path / "x.csv").write_text(f"a\tb\tc\n{rows}", encoding="latin-1")
    options = (
        "--text",
        "b",
        "--text-pair",
        "a",
        "--label",
        "c",
        "--delimiter",
        "\\t",
        "--encoding",
        "latin-1",
    )
    assert run("new", "text-classification", "--data", "x.csv", *options)[0] == 0
    text = (tmp_path / "config.yaml").read_text()
    for line in ('text: "b"', 'text_pair: "a"', 'label: "c"', 'delimiter: "\\t"', 'encoding: "latin-1"'):
        assert f"    {line}\n" in text


def test_all_kinds_are_listed(run):
    status, output, _ = run("list")
    kinds = {line.split()[0] for line in output.splitlines()}
    assert (status, kinds) == (0, {*catalog.KINDS, "configs", "metrics", "recipes"})
    assert "perplexity  " in run("list", "metrics")[1]
    assert "minilm-mrpc  " in run("list", "configs")[1]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        *((stage, "setting") for stage in catalog.STAGES),
        ("report", "baseline"),
        ("training", "num_train_epochs"),
        ("perplexity", "perplexity: a metric of language_modeling; lower is better"),
        ("threads", "threads: processor threads of each job"),
        ("config", "cache_limit_gb"),
        ("seed", "seed: seed of nodes"),
        ("metrics", "accuracy"),
        ("losses", "soft_cross_entropy"),
        ("configs", "minilm-mrpc"),
        ("recipes", "pair-classification"),
    ],
)
def test_what_a_config_names_is_described(run, name, found):
    status, output, _ = run("describe", name)
    assert status == 0
    assert found in output


@pytest.mark.parametrize("kind", catalog.KINDS)
def test_names_are_listed(run, kind):
    status, output, _ = run("list", kind)
    assert (status, [line.split()[0] for line in output.splitlines()]) == (0, sorted(catalog.KINDS[kind]))


def test_the_schema_is_json(run):
    status, output, _ = run("schema")
    assert status == 0
    assert json.loads(output)["title"] == "kdpipe config"


@pytest.mark.parametrize(
    "arguments", [[], ["chek"], ["why"], ["list", "lossess"], ["describe", "prune", "--depth", "0"]]
)
def test_wrong_arguments(run, arguments):
    status, output, errors = run(*arguments)
    assert (status, output) == (2, "")
    assert errors.startswith("usage: kdpipe")


def test_a_reader_that_stops_early_sees_no_traceback():
    code = "from kdpipe.cli import main; main(['schema'])"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"{\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is full")
def test_what_cannot_be_printed_is_told():
    command = [sys.executable, "-m", "kdpipe.cli", "schema"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "standard output: No space left on device\n")
