"""Code is the same as long as its syntax trees are, docstrings apart."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kdpipe import catalog
from kdpipe.plan import identity
from kdpipe.plan.identity import code_of, modules_named, modules_of
from kdpipe.plan.jobs import model_job
from kdpipe.plan.stage import definition

ROOT = Path(__file__).parents[2]
CACHED = (identity._code, identity._imports, identity._counted, identity._outline, identity._module_digest)
# By module, the stages whose results it decides; `python -m tests.plan.test_identity` writes it.
LISTED = Path(__file__).with_name("code_of_stages.txt")
DISTILL = ("kdpipe.stages.distill", "kdpipe.losses.kl")


def forget() -> None:
    for function in CACHED:
        function.cache_clear()


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str, str], None]]:
    """A function that replaces text in a file of a copy of the package, at which identities then look."""
    shutil.copytree(ROOT / "kdpipe", tmp_path / "kdpipe")
    monkeypatch.setattr(
        identity, "source_file", lambda module: tmp_path.joinpath(*module.split(".")).with_suffix(".py")
    )

    def replace(file: str, old: str, new: str) -> None:
        path = tmp_path / "kdpipe" / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
        forget()

    forget()
    yield replace
    forget()


def changed(edit: Callable[[str, str, str], None], *change: str, roots: tuple[str, ...] = DISTILL) -> bool:
    before = identity.identity(code_of(roots))
    edit(*change)
    return identity.identity(code_of(roots)) != before


@pytest.mark.parametrize(("file", "old", "new", "counts"), [
    ("adapters/teachers.py", "reads_ours = source.data", "reads_ours = not source.data", True),
    ("training/hooks.py", "loss_is_scaled_for_ga = True", "loss_is_scaled_for_ga = False", True),
    ("losses/kl.py", "import", "import os\nimport", True),
    ("losses/cosine.py", "import", "import os\nimport", False),
    ("stages/finetune.py", "import", "import os\nimport", False),
    ("training/trainer.py", "import math\n", "import math  # for isfinite\n\n", False),
    ("training/trainer.py", '"""Trains a learner,', '"""Trains one learner,', False),
    ("catalog.py", '"kl":', '"kullback_leibler":', False),
    ("models/__init__.py", '"int8", "pruned"', '"int8"', True),
    ("models/__init__.py", '"""Models', '"""All models', False),
    ("models/bigru.py", "import", "import os\nimport", False),
    ("data/__init__.py", "", "import os", True),
    ("reporting/__init__.py", "", "import os", False),
    ("__init__.py", "import import_module", "import import_module, reload", False),
    ("anatomy/layers.py", "import", "import os\nimport", True),
    ("anatomy/units.py", "import", "import os\nimport", True),
    ("anatomy/families.py", '("token_classification",)', '("tagging",)', True),
    ("seeds.py", 'MASKING = "masking"', 'MASKING = "masks"', True),
    ("processes.py", "import os\n", "import os\nimport re\n", True),
    ("metrics.py", '("cross_entropy", ', "(", True),
    ("signals/capture.py", "import", "import os\nimport", True),
    ("config/settings/masking.py", "default=0.15", "default=0.2", True),
    ("config/settings/losses.py", "loss: str\n", "loss: str\n    other: int = 1\n", True),
    ("config/settings/losses.py", "bool(self.teacher_kinds", "not bool(self.teacher_kinds", True),
    ("config/settings/masking.py", "mask + keep + random must be 1", "they must sum up to 1", False),
    ("plan/stages/distill.py", "student: ModelName", "student: ModelName\n    other: int = 1", True),
    ("plan/stages/distill.py", "starts_from = \"student\"", "starts_from = \"\"", False),
    ("plan/stages/distill.py", "remove this", "leave it out", False),
    ("anatomy/heads.py", "import", "import os\nimport", True),
    ("plan/graph.py", "import", "import os\nimport", False),
    ("plan/training.py", "import", "import os\nimport", False),
    ("config/document.py", "import", "import os\nimport", False),
    ("config/settings/explanation.py", "import", "import os\nimport", False),
    ("artifacts/faults.py", "disk", "drive", False),
    ("artifacts/artifact.py", "import", "import os\nimport", False),
    ("commands/changes.py", "import", "import os\nimport", False),
    ("errors.py", "did you mean", "perhaps", False),
    ("runner/command_line.py", "import", "import os\nimport", False),
])  # fmt: skip
def test_what_counts_as_a_change(edit, file, old, new, counts):
    assert changed(edit, file, old, new) == counts


@pytest.mark.parametrize(("file", "old", "new", "stages"), [
    ("metrics.py", '("cross_entropy", ', "(", {
        "distill", "finetune", "pretrain", "quantize", "report", "schedule", "select"
    }),
    ("models/__init__.py", '"int8", "pruned"', '"int8"', {
        "augment", "cache_teacher", "card", "create", "distill", "evaluate", "export", "submit", "extract",
        "finetune", "load", "measure", "pretrain", "prune", "quantize", "report", "schedule",
        "score_importance",
    }),
])  # fmt: skip
def test_stages_that_read_a_module(edit, file, old, new, stages):
    before = {stage: code_of([definition(stage).module]) for stage in catalog.STAGES}
    edit(file, old, new)
    assert {stage for stage in before if code_of([definition(stage).module]) != before[stage]} == stages


def stages_by_module() -> str:
    """Return each module, or part of one, with the stages whose results it decides."""
    found: dict[str, list[str]] = {}
    for stage in catalog.STAGES:
        for module in code_of([definition(stage).module]):
            found.setdefault(module, []).append(stage)
    return "".join(f"{module}: {' '.join(found[module])}\n" for module in sorted(found))


def test_what_each_stage_depends_on_is_listed():
    """Whoever adds to the code of a stage sees which results are made again by each later change of it."""
    assert stages_by_module() == LISTED.read_text(encoding="utf-8")


def test_templates_count_for_what_lies_beside_them(edit):
    assert changed(edit, "reporting/report.html.j2", "<body", "<body ", roots=("kdpipe.stages.report",))


def test_a_class_that_is_named_by_a_text_counts():
    assert "kdpipe.models.bigru" in code_of(["kdpipe.models.families.bigru"])


def test_settings_name_entries_of_the_catalog():
    losses = [{"loss": "kl"}, {"loss": "cosine"}]
    settings = {"losses": losses, "architecture": {"family": "bert"}, "method": 3}
    found = {"kdpipe.losses.kl", "kdpipe.losses.cosine", "kdpipe.models.families.bert"}
    assert set(modules_named(settings)) == found


def test_every_stage_has_code_and_none_imports_another():
    for module in (definition(stage).module for stage in catalog.STAGES):
        assert [name for name in code_of([module]) if name.startswith("kdpipe.stages.")] == [module]


def test_nodes_start_from_their_losses_their_task_and_their_families(graph_of):
    graph = graph_of({
        "models.cut": {"prune": {"model": "teacher", "sparsity": 0.5}},
        "models.factorised": {"prune": {"model": "teacher", "embedding_rank": 8}},
        "models.best": {"select": {"among": ["teacher", "cut"], "dataset": "task"}},
    })  # fmt: skip
    assert model_job(graph, "student").modules == (
        "kdpipe.evaluation.tasks.classification",
        "kdpipe.losses.hidden_mse",
        "kdpipe.losses.kl",
        "kdpipe.models.families.bert",
        "kdpipe.stages.distill",
    )
    assert "kdpipe.data.sources.pydoc" in model_job(graph, "base").modules
    for name in ("cut", "factorised", "best"):
        assert "kdpipe.models.pruned" in model_job(graph, name).modules
    assert "kdpipe.pruning.criteria.mask_gradient" not in model_job(graph, "cut").modules


def test_a_model_that_is_not_there_yet_may_be_of_any_family(graph_of):
    graph = graph_of({"models.hub": {"load": {"path": "someone/something"}}})
    families = {identity.module_of(target) for target in catalog.FAMILIES.values()}
    assert families <= set(modules_of(graph, "kdpipe.stages.evaluate", ["hub"]))


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_training_on_labels_runs_their_loss(stage):
    assert "kdpipe.losses.hard" in code_of([definition(stage).module])


def test_no_code_takes_an_entry_of_the_catalog_that_neither_it_nor_settings_name():
    for path in (ROOT / "kdpipe").rglob("*.py"):
        assert not re.search(r'resolve\("\w+", "', path.read_text(encoding="utf-8")), path


if __name__ == "__main__":
    LISTED.write_text(stages_by_module(), encoding="utf-8")
