"""The workflow as it comes, over the nodes of a cluster."""

import shutil

import pandas as pd

from tests.cluster.conftest import Run, slurm
from tests.workflow.conftest import ROOT


def test_the_default_config_runs_on_four_nodes(run: Run) -> None:
    shutil.rmtree(run.folder)
    run.folder.mkdir()
    shutil.copy(ROOT / "config.yaml", run.folder)
    # A job takes a whole node, so that all nodes have work.
    run.site["slurm_extra"] = "'--exclusive'"
    run.start(targets=())
    assert run.end(seconds=1800) == 0, run.output()
    nodes = slurm("sacct", "-n", "-X", "-P", "-o", "NodeList", "--name", run.name()).split()
    assert set(nodes) == set(slurm("sinfo", "-h", "-N", "-p", "cpu", "-o", "%N").split())
    results = pd.read_parquet(run.folder / "results/default/report/results.parquet")
    assert results["value"].notna().all()
    assert {"pretrain", "finetune", "distill", "schedule"} <= set(results["stage"])
