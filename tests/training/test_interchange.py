"""A training with counterfactual runs: what it logs, what it costs, and that it ends with the same bits."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertModel, PreTrainedModel

from kdpipe.anatomy.alignments import named_alignment
from kdpipe.artifacts.checkpoints import Checkpoints
from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.errors import KdpipeError
from kdpipe.evaluation.scoring import token_targets
from kdpipe.evaluation.tasks.language_modeling import LanguageModeling
from kdpipe.interchange.batches import Choice, Exchanges
from kdpipe.interchange.runs import Interchange, TeacherOfBoth
from kdpipe.losses.attention_mse import AttentionMSELoss
from kdpipe.losses.cosine import CosineLoss
from kdpipe.losses.hard import HardLoss
from kdpipe.losses.kl import KLLoss
from kdpipe.models.loading import load_model, load_tokenizer
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.signals.capture import TEACHER, Origin, Teacher
from kdpipe.stages import distill
from kdpipe.training.learner import Learner
from kdpipe.training.run import Outcome, train
from kdpipe.training.terms import Weighted, build_objective
from tests.stages.conftest import job_for
from tests.tolerance import assert_close
from tests.training.conftest import FAST, curve, weights
from tests.training.test_resumption import Interrupted, KilledError, assert_same, die

STANDARD = [Weighted(KLLoss(2.0), 0.3, positions="all", name="kl"), Weighted(HardLoss(), name="hard")]
COUNTERFACTUAL = Weighted(KLLoss(2.0), 0.4, positions="all", name="kl", run="counterfactual")
Run = Callable[..., tuple[Any, Outcome]]
CONSECUTIVE = Choice()
SGD = {**FAST, "optim": "sgd", "learning_rate": 0.05}


@pytest.fixture
def run(language_model: Path, text_data: Path, tmp_path: Path) -> Run:
    """A function that distils a language model from a copy of itself with other weights."""

    def start(
        losses: list[Weighted],
        options: dict[str, Any] = FAST,
        *,
        kind: str = "middle",
        choice: Choice | None = CONSECUTIVE,
        fixed: int | None = None,
        state: str = "",
        after: int = 0,
        dropout: bool = True,
    ) -> tuple[Any, Outcome]:
        student, teacher = load_model(language_model), load_model(language_model).eval()
        if not dropout:
            still(student)
        with torch.no_grad():
            for parameter in teacher.parameters():
                parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))
        targets = token_targets(student, load_tokenizer(language_model), 1, fixed=fixed, smoothing=0)
        batches = Collator(EncodedSplit(text_data, "train"), 0, targets)
        interchange = Interchange(named_alignment(kind, 4, 4))
        alternatives = [len(entry) for entry in interchange.alignment]
        if choice is not None:
            batches.exchanges = Exchanges(batches.split, 0, choice, alternatives, 1, targets)
        objective = build_objective(losses, LanguageModeling, {"teacher": (4, 16)}, (4, 16), 1, 80)
        intervened = objective.counterfactual.get(TEACHER)
        run = Teacher(teacher, objective.teachers[TEACHER])
        if intervened:
            run = TeacherOfBoth(teacher, objective.teachers[TEACHER], intervened, interchange)
        outcome = train(
            student,
            objective,
            Interrupted(batches, after, die) if after else batches,
            options,
            seed=5,
            teachers={TEACHER: run},
            interchange=interchange,
            checkpoints=Checkpoints(tmp_path / state, interval=0.0) if state else None,
        )
        return student, outcome

    return start


def still(model: PreTrainedModel) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model.config.attention_probs_dropout_prob = 0.0


def test_terms_of_a_counterfactual_run_are_named_so(run: Run) -> None:
    cosine = Weighted(CosineLoss(), name="cosine", run="counterfactual")
    attention = Weighted(AttentionMSELoss(), name="attention_mse", run="counterfactual")
    _, outcome = run([*STANDARD, COUNTERFACTUAL, cosine, attention])
    for name in ("kl", "hard", "kl_counterfactual", "cosine_counterfactual", "attention_mse_counterfactual"):
        assert curve(outcome, name)
    assert curve(outcome, "kl_counterfactual") != curve(outcome, "kl")


def test_without_a_term_that_reads_the_run_nothing_changes(run: Run) -> None:
    plain, outcome = run(STANDARD, choice=None)
    unread, same = run([*STANDARD, Weighted(KLLoss(), 0.0, run="counterfactual")], choice=None)
    assert torch.equal(weights(plain), weights(unread))
    assert outcome.history == same.history
    intervened, _ = run([*STANDARD, COUNTERFACTUAL])
    assert not torch.equal(weights(plain), weights(intervened))


def test_without_a_term_that_reads_the_run_there_is_none(
    language_model: Path, text_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interchange whose terms have no weight draws nothing, and runs each model once a step."""
    seen: Counter[str] = Counter()

    def counted(owner: Any, method: str) -> None:
        original = getattr(owner, method)

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            seen[method] += 1
            return original(self, *args, **kwargs)

        monkeypatch.setattr(owner, method, call)

    counted(Exchanges, "batch")
    counted(BertModel, "forward")
    for weight in (0, 1):
        seen.clear()
        losses = [{"loss": "kl"}, {"loss": "kl", "run": "counterfactual", "weight": weight}]
        given = {
            "teacher": "t",
            "student": "s",
            "dataset": "d",
            "losses": losses,
            "training": {"max_steps": 2},
        }
        given |= {"interchange": {"alignment": "middle"}, "masking": {"smoothing": 0}}
        settings = DistillSettings.model_validate(given)
        places = {"teacher": [language_model], "student": language_model, "data": [text_data]}
        distill.run(settings, job_for(tmp_path / str(weight)), **places)
        # Each model runs on the base, on the source and on from the site.
        assert seen["forward"] == 2 * 2 * (1 + 2 * weight)
        assert bool(seen["batch"]) == bool(weight)


def test_what_is_exchanged_changes_no_other_draw(run: Run) -> None:
    """Standard losses see the same batches and masks whether or not positions are drawn beside them."""
    plain, _ = run(STANDARD, choice=None)
    drawn, _ = run(STANDARD, choice=Choice())
    assert torch.equal(weights(plain), weights(drawn))


def test_without_positions_the_run_teaches_what_the_base_run_does(run: Run) -> None:
    _, outcome = run([*STANDARD, COUNTERFACTUAL], choice=Choice(proportion=0), dropout=False)
    assert curve(outcome, "kl_counterfactual") == pytest.approx(curve(outcome, "kl"), rel=1e-5)


def test_only_counterfactual_terms_train_too(run: Run) -> None:
    student, outcome = run([COUNTERFACTUAL], SGD)
    assert not curve(outcome, "kl")
    before, _ = run([COUNTERFACTUAL], {**SGD, "learning_rate": 0.0})
    changed = {
        name.split(".")[3]
        for name, value in student.named_parameters()
        if "encoder.layer" in name and not torch.equal(value, before.get_parameter(name))
    }
    assert changed == {"0", "1", "2", "3"}


@pytest.mark.parametrize(
    "choice", [Choice(), Choice(positions="masked"), Choice(positions="scattered", sources="epoch")]
)
def test_parts_of_a_batch_add_up_to_the_batch(choice: Choice, language_model: Path, text_data: Path) -> None:
    """Of texts of one length, a few maskings and one pair of sites follow from the examples alone."""
    student, teacher = load_model(language_model), load_model(language_model).eval()
    still(student)
    torch.nn.init.normal_(teacher.get_input_embeddings().weight, generator=torch.Generator().manual_seed(1))
    targets = token_targets(student, load_tokenizer(language_model), 1, fixed=2, smoothing=0)
    split = EncodedSplit(text_data, "train")
    batches = Collator(split, 0, targets, exchanges=Exchanges(split, 0, choice, [1], 1, targets))
    objective = build_objective(
        [*STANDARD, COUNTERFACTUAL], LanguageModeling, {"teacher": (4, 16)}, (4, 16), 1
    )
    interchange = Interchange(named_alignment("middle", 4, 4))
    asked = objective.teachers[TEACHER], objective.counterfactual[TEACHER]
    run = TeacherOfBoth(teacher, *asked, interchange)
    learner = Learner(student, {"": objective}, {"": interchange})
    common = int(np.bincount(split.lengths).argmax())
    examples = np.flatnonzero(split.lengths == common)[:6].tolist()
    assert len(examples) == 6
    gradients = []
    for size in (6, 2):
        learner.zero_grad()
        for start in range(0, 6, size):
            batch = batches(examples[start : start + size])
            taught = {Origin("teacher", name): found for name, found in run.runs(batch).items()}
            loss, _ = learner(batch, taught, objective.weights(0))
            loss.backward()
        gradients.append(torch.cat([value.grad.flatten() for value in learner.parameters()]))
    assert_close(gradients[1], gradients[0])


@pytest.mark.parametrize("kind", ["middle", "full"])
def test_a_seed_gives_the_same_weights(run: Run, kind: str) -> None:
    first, second = (run([*STANDARD, COUNTERFACTUAL], kind=kind)[0] for _ in range(2))
    assert torch.equal(weights(first), weights(second))


def test_killed_it_ends_with_the_same_bits(run: Run) -> None:
    options = {**FAST, "num_train_epochs": 2, "logging_steps": 3}
    losses, choice = [*STANDARD, COUNTERFACTUAL], Choice(positions="scattered", sources="epoch")
    undisturbed = run(losses, options, kind="full", choice=choice, state="a")
    for batches in (3, 9):
        with pytest.raises(KilledError):
            run(losses, options, kind="full", choice=choice, state="b", after=batches)
    assert_same(run(losses, options, kind="full", choice=choice, state="b"), undisturbed)


def test_swapped_tokens_are_learned_from(run: Run) -> None:
    _, outcome = run([*STANDARD, COUNTERFACTUAL], choice=Choice(swap="tokens"), dropout=False)
    assert curve(outcome, "kl_counterfactual") != curve(outcome, "kl")


def test_labels_are_compared_with_no_counterfactual_run() -> None:
    losses = [Weighted(HardLoss(), run="counterfactual")]
    with pytest.raises(KdpipeError, match="compares with labels"):
        build_objective(losses, LanguageModeling, {"teacher": (4, 16)}, (4, 16), 1)
