"""The workflow as users of Snakemake's catalog have it: deployed into a folder of theirs, as a module."""

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.conftest import ROOT, snakemake, write_config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("snakedeploy") is None, reason="snakedeploy is not installed"),
]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the checkout was deployed; the workflow there points at the checkout."""
    folder = tmp_path_factory.mktemp("deployed")
    source = folder / "source"
    # The provider for local folders copies all that is there, such as environments.
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in names.splitlines():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name, follow_symlinks=False)
    code = "from snakedeploy.client import main; main()"
    words = ["deploy-workflow", str(source), str(folder / "mine"), "--tag", "any", "--name", "kdpipe"]
    subprocess.run([sys.executable, "-c", code, *words], check=True)
    snakefile = folder / "mine/workflow/Snakefile"
    text = snakefile.read_text()
    assert '"workflow/Snakefile"' in text
    snakefile.write_text(text.replace('"workflow/Snakefile"', repr(str(ROOT / "workflow/Snakefile"))))
    return folder / "mine"


def test_the_default_run_is_there(deployed: Path) -> None:
    given = yaml.safe_load((deployed / "config/config.yaml").read_text())
    assert given == yaml.safe_load((ROOT / "config.yaml").read_text())
    assert (deployed / "config/README.md").read_text().startswith("# What to edit")
    done = snakemake(deployed, "-n", snakefile=deployed / "workflow/Snakefile")
    assert done.returncode == 0, done.stdout
    assert re.search(r"^pretrain +1$", done.stdout, re.MULTILINE)


def test_it_makes_the_same_bytes(deployed: Path, finished: Path, config: dict[str, Any]) -> None:
    (deployed / "config/config.yaml").unlink()
    write_config(deployed / "config/config.yaml", config)
    done = snakemake(deployed, snakefile=deployed / "workflow/Snakefile")
    assert done.returncode == 0, done.stdout
    for model in ("base", "teacher", "student"):
        sums = [place / "results/models" / model / "SHA256SUMS" for place in (deployed, finished)]
        assert sums[0].read_bytes() == sums[1].read_bytes()
