"""A training over all GPUs of its job; the test cluster has none, so its processes use the processor."""

import json

import yaml

from tests.cluster.conftest import Run, slurm
from tests.workflow.conftest import write_config


def test_a_training_runs_in_a_process_for_each_gpu_of_its_job(run: Run) -> None:
    config = yaml.safe_load((run.folder / "config.yaml").read_text())
    config["models"]["teacher"]["finetune"]["training"]["num_train_epochs"] = 2
    write_config(run.folder / "config.yaml", {**config, "gpus": 2})
    run.site["slurm_partition"] = "gpu"
    run.start()
    assert run.end() == 0, run.output()
    manifest = json.loads((run.folder / "results/models/teacher/manifest.json").read_text())
    assert manifest["processes"] == 2
    assert manifest["examples_seen"] == 2 * 96
    asked = slurm("sacct", "-n", "-X", "-P", "-o", "AllocTRES", "--name", run.name())
    assert "gres/gpu=2" in asked.split(",")
