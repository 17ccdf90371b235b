"""A config gives the same models, whatever variables a login shell exports."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import SUMS
from kdpipe.environment import LAUNCHED, forget

EXPORTED = {
    "ACCELERATE_MIXED_PRECISION": "bf16",
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4",
    "ACCELERATE_DYNAMO_BACKEND": "AOT_EAGER",
    "ACCELERATE_USE_FSDP": "true",
    "ACCELERATE_TORCH_DEVICE": "meta",
    "DNNL_DEFAULT_FPMATH_MODE": "BF16",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "MKL_CBWR": "COMPATIBLE",
    "TORCHDYNAMO_DISABLE": "1",
    "USE_HUB_KERNELS": "1",
    "RANK": "1",
    "WORLD_SIZE": "2",
    "MASTER_ADDR": "nowhere",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_RANK": "1",
    "PMI_RANK": "1",
    "OMP_DYNAMIC": "true",
    "OMP_THREAD_LIMIT": "1",
    "KUBEFLOW_TRAINER_SERVER_URL": "http://127.0.0.1:9",
    "SLURM_PROCID": "1",
    "SLURM_NTASKS": "4",
}


def finetune(model: Path, data: Path, output: Path, **environment: str) -> None:
    training = {"max_steps": 4, "bf16": False, "per_device_train_batch_size": 8}
    settings = json.dumps({"model": "base", "dataset": "task", "training": training})
    places = ("--model", model, "--data", data, "--output", output, "--log", output.with_suffix(".log"))
    command = [sys.executable, "-m", "kdpipe.stages.finetune", "--settings", settings, *map(str, places)]
    done = subprocess.run(
        [*command, "--threads", "1"], env={**os.environ, **environment}, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_libraries_tell_a_command_nothing_of_other_devices() -> None:
    """Transformers imports torchao, where it is installed, with its models."""
    code = "from kdpipe.cli import main; main(['list', 'losses']); import transformers.modeling_utils"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "hidden_mse" in done.stdout
    assert done.stderr == ""


@pytest.mark.slow
def test_a_training_computes_the_same_whatever_is_exported(
    language_model: Path, task_data: Path, tmp_path: Path
) -> None:
    finetune(language_model, task_data, tmp_path / "plain")
    finetune(language_model, task_data, tmp_path / "exported", **EXPORTED)
    assert (tmp_path / "exported" / SUMS).read_bytes() == (tmp_path / "plain" / SUMS).read_bytes()
    (line,) = (
        line
        for line in (tmp_path / "exported.log").read_text().splitlines()
        if "ignored environment variables" in line
    )
    # SLURM's own are of nobody's interest here as long as they do not say that there are several tasks.
    assert [name for name in EXPORTED if name not in line] == ["SLURM_PROCID", "SLURM_NTASKS"]


@pytest.mark.slow
def test_a_processor_that_acts_as_an_older_one_is_another_device(
    language_model: Path, task_data: Path, tmp_path: Path
) -> None:
    finetune(
        language_model, task_data, tmp_path / "made", ONEDNN_MAX_CPU_ISA="AVX2", ATEN_CPU_CAPABILITY="avx2"
    )
    device = read_manifest(tmp_path / "made")["device"]
    assert "ATEN_CPU_CAPABILITY=avx2, ONEDNN_MAX_CPU_ISA=AVX2" in device or not device.startswith("cpu")


@pytest.mark.parametrize(("missing", "value"), [(name, "1") for name in LAUNCHED] + [(None, "x")])
def test_what_a_launcher_sets_counts_as_a_whole_set(
    monkeypatch: pytest.MonkeyPatch, missing: str | None, value: str
) -> None:
    for name in LAUNCHED:
        monkeypatch.setenv(name, value)
    if missing:
        monkeypatch.delenv(missing)
    forget()
    assert not any(name in os.environ for name in LAUNCHED)


@pytest.mark.parametrize(
    "name",
    [
        "PYTORCH_CUDA_ALLOC_CONF",
        "TORCH_NCCL_BLOCKING_WAIT",
        "ONEDNN_VERBOSE",
        "CUDA_VISIBLE_DEVICES",
        "TORCHINDUCTOR_CACHE_DIR",
    ],
)
def test_what_changes_no_number_stays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for launched in LAUNCHED:
        monkeypatch.setenv(launched, "1")
    monkeypatch.setenv(name, "1")
    forget()
    assert os.environ[name] == "1"
    assert all(os.environ[launched] == "1" for launched in LAUNCHED)
