"""`kdpipe.distill` and `kdpipe.evaluate` with models that no family covers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import TrainerCallback

import kdpipe
from kdpipe.errors import KdpipeError, ModelError
from kdpipe.evaluation.scoring import head_of
from kdpipe.losses import AttentionMSELoss, EMDLoss, HardLoss, HiddenMSELoss, KLLoss, MMDLoss
from kdpipe.models.loading import load_model, load_tokenizer, load_with_head
from tests.models.conftest import bodies, scattered
from tests.test_distilled import FAST, Losses, distilled
from tests.test_library import rows_of

__all__ = ["bodies"]
TASKS = {
    "classification": ("task_data", 2),
    "multi_label": ("topic_data", 2),
    "regression": ("number_data", 1),
    "token_classification": ("ner_data", 5),
    "language_modeling": ("text_data", 80),
    "question_answering": ("question_data", 2),
}

BY_TOKEN = ("token_classification", "language_modeling", "question_answering")


class Reader(nn.Module):
    """A GRU as somebody may write it, with logits of texts or of tokens."""

    def __init__(self, outputs: int, by_token: bool, width: int = 12) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.words = nn.Embedding(80, width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, outputs)
        self.by_token = by_token

    def forward(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        states, _ = self.gru(self.words(input_ids))
        return states, self.head(states if self.by_token else states.mean(1))


def named(batch: Any, outputs: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return {"hidden_states.1": outputs[0], "logits": outputs[1], "module.gru": outputs[0]}


def states_alone(batch: Any, outputs: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return {"hidden_states.1": outputs[0]}


def of_bert(batch: Any, outputs: Any) -> dict[str, Tensor]:
    states = {f"hidden_states.{place}": state for place, state in enumerate(outputs.hidden_states)}
    return {"logits": outputs.logits, **states}


SPACED = kdpipe.Weighted(HiddenMSELoss(), layers="spaced")
STATES = kdpipe.Weighted(HiddenMSELoss(), layers=[(3, 1)], projection=kdpipe.Projection())


@pytest.mark.parametrize("task", TASKS)
def test_a_student_of_ones_own_learns_from_a_known_teacher(
    task: str, bodies: dict[str, Path], request: pytest.FixtureRequest
) -> None:
    name, outputs = TASKS[task]
    data: Path = request.getfixturevalue(name)
    teacher, rows = scattered(load_with_head(bodies["bert"], head_of(data), 3)), rows_of(data)
    rows = rows.filter(lambda row: len(row["input_ids"]) <= 40)
    tokenizer = load_tokenizer(bodies["bert"])
    for losses, adaptor in (([KLLoss(), STATES], named), ([STATES], states_alone)):
        student = kdpipe.Adapted(Reader(outputs, task in BY_TOKEN), adaptor)
        assert distilled(teacher, student, rows, losses, tokenizer=tokenizer, num_train_epochs=4) < 0.9
        assert student.task == task


def test_a_causal_student_of_ones_own_learns_each_next_token(
    bodies: dict[str, Path], text_data: Path
) -> None:
    teacher = scattered(load_with_head(bodies["gpt2"], head_of(text_data), 3))
    student, rows = kdpipe.Adapted(Reader(80, by_token=True), named), rows_of(text_data)
    before = Reader(80, by_token=True)
    assert distilled(teacher, student, rows, [KLLoss(), HardLoss()], num_train_epochs=4) < 0.95
    assert student.causal
    untrained = kdpipe.Adapted(before, named, task="language_modeling", causal=True)
    found, first = (kdpipe.evaluate(model, rows)["cross_entropy"] for model in (student, untrained))
    assert found < first


class Watched(TrainerCallback):
    """Records the models that a training gives."""

    def __init__(self) -> None:
        self.models: list[Any] = []

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.models.append(model)


def test_it_is_trained_and_scored_under_its_own_names(bodies: dict[str, Path], task_data: Path) -> None:
    teacher = load_with_head(bodies["bert"], head_of(task_data), 3)
    net, watched, rows = Reader(2, by_token=False), Watched(), rows_of(task_data)
    words, head = net.words.weight.clone(), net.head.weight.clone()
    student = kdpipe.distill(
        teacher, kdpipe.Adapted(net, named), rows, [HardLoss(), KLLoss()], freeze=["words.*"],
        validation=rows_of(task_data, "validation"), eval_strategy="epoch", save_strategy="epoch",
        load_best_model_at_end=True, metric_for_best_model="accuracy", callbacks=[watched], **FAST,
    )  # fmt: skip
    assert student.model is net
    assert {*watched.models} == {net}
    assert net.words.weight.equal(words)
    assert not net.head.weight.equal(head)
    assert not net.training
    assert set(kdpipe.evaluate(student, rows)) == {"accuracy", "f1"}
    again = kdpipe.Adapted(net, named, task="classification", labels=["0", "1"])
    assert kdpipe.evaluate(again, rows) == kdpipe.evaluate(student, rows)


@pytest.mark.parametrize("losses", [[KLLoss()], [KLLoss(), SPACED]])
def test_an_adapted_teacher_teaches_what_it_teaches_without(
    losses: Any, bodies: dict[str, Path], task_data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = []
    for adapt in (False, True):
        model = scattered(load_with_head(bodies["bert"], head_of(task_data), 3))
        model.config.output_hidden_states = True
        student, recorded = load_with_head(bodies["bigru"], head_of(task_data), 4), Losses()
        # A teacher that was left in training mode is not trained, and keeps all its units.
        teacher = kdpipe.Adapted(model.train(), of_bert) if adapt else model.train()
        kdpipe.distill(
            teacher, student, rows_of(task_data), losses, callbacks=[recorded], logging_steps=1, **FAST
        )
        found.append(recorded.values)
        assert "the teacher was in training mode" in caplog.text
        caplog.clear()
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert found[0][-1] < found[0][0]


def test_two_adapted_models_say_their_task(bodies: dict[str, Path], task_data: Path) -> None:
    rows, losses = rows_of(task_data), [KLLoss(), kdpipe.Weighted(MMDLoss(), modules=[("gru", "gru")])]
    with pytest.raises(ModelError, match="Adapted: expected a task, as no other model tells it"):
        kdpipe.distill(*(kdpipe.Adapted(Reader(2, False), named) for _ in range(2)), rows, losses)
    teacher = kdpipe.Adapted(Reader(2, False, width=20), named, task="classification", labels=["0", "1"])
    student = kdpipe.Adapted(Reader(2, False), named)
    recorded = Losses()
    kdpipe.distill(teacher, student, rows, losses, callbacks=[recorded], logging_steps=1, **FAST)
    assert recorded.fallen_to < 0.9
    assert student.labels == ("0", "1")


def test_a_model_of_ones_own_learns_the_largest_logits(classifier: Path, task_data: Path) -> None:
    teacher, student = load_model(classifier), kdpipe.Adapted(Reader(2, False), named)
    losses, recorded = [kdpipe.Weighted(KLLoss(), top_k=1)], Losses()
    kdpipe.distill(
        teacher, student, rows_of(task_data), losses, callbacks=[recorded], logging_steps=1, **FAST
    )
    assert recorded.fallen_to < 0.9


def test_blocks_of_several_widths_learn_from_all_blocks_with_maps_of_their_own(
    classifier: Path, task_data: Path
) -> None:
    def two(batch: Any, outputs: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        return {"hidden_states.1": outputs[0], "hidden_states.2": outputs[0][..., :5]}

    teacher, student = load_model(classifier), kdpipe.Adapted(Reader(2, False), two)
    recorded = Losses()
    each = kdpipe.Weighted(EMDLoss(), projection=kdpipe.Projection())
    kdpipe.distill(
        teacher, student, rows_of(task_data), [each], callbacks=[recorded], logging_steps=1, **FAST
    )
    assert recorded.fallen_to < 0.9
    shared = kdpipe.Weighted(EMDLoss(), projection=kdpipe.Projection(shared=True))
    with pytest.raises(ModelError, match=r"EMDLoss: a shared `projection` .* found 12 to 16, 5 to 16"):
        kdpipe.distill(teacher, student, rows_of(task_data), [shared])
    with pytest.raises(ModelError, match="EMDLoss 1 and 1: the teacher's rows are 16 wide, the student's 12"):
        kdpipe.distill(teacher, student, rows_of(task_data), [EMDLoss()])


def test_what_cannot_be_read_is_refused(classifier: Path, task_data: Path) -> None:
    teacher, rows, adapt = load_model(classifier), rows_of(task_data), kdpipe.Adapted

    def distil(losses: Any, adaptor: Any = named, outputs: int = 2, **options: Any) -> Any:
        adapted = adapt(Reader(outputs, False), adaptor, **options)
        return kdpipe.distill(teacher, adapted, rows, losses)

    def misspelt(batch: Any, outputs: Any) -> dict[str, Tensor]:
        return {"logit": outputs[1]}

    wrong: list[tuple[Any, str]] = [
        (
            lambda: distil(KLLoss(), misspelt),
            "of the Reader: 'logit' is no signal; did you mean 'logits'",
        ),
        (
            lambda: distil([KLLoss()], states_alone),
            "expected logits, which losses read, found hidden",
        ),
        (lambda: distil([AttentionMSELoss()]), "expected attentions.1, which losses read"),
        (lambda: distil(kdpipe.Weighted(HiddenMSELoss(), layers=[(4, 2)])), r"student layers 0 to 1 exist"),
        (
            lambda: distil(HiddenMSELoss()),
            "HiddenMSELoss 4 and 1: .* 16 wide, .* 12; give a `projection`",
        ),
        (lambda: distil(KLLoss(), outputs=3), "KLLoss: the teacher's rows are 2 wide, the student's 3"),
        (lambda: distil(SPACED, lambda *_: {}), "names no layers"),
        (
            lambda: distil(KLLoss(), task="classify"),
            "expected a task, found 'classify'; did you mean",
        ),
        (lambda: distil(KLLoss(), task="classification"), "expected `labels`, the names of its logits"),
        (
            lambda: distil(KLLoss(), task="classification", labels=["a", "b", "c"]),
            "expected the outputs of the student in the teacher, a, b, c, found 0, 1",
        ),
        (lambda: kdpipe.evaluate(adapt(Reader(2, False), named), rows), "expected a task"),
        (
            lambda: kdpipe.prune(kdpipe.Adapted(Reader(2, False), named), rows, sparsity=0.5),
            "prune: expected",
        ),
        (
            lambda: kdpipe.distill(teacher, Reader(2, False), rows, KLLoss()),
            "a model of transformers.*Adapted",
        ),
        (
            lambda: kdpipe.distill(teacher, adapt(teacher, of_bert), rows, KLLoss()),
            "one model twice",
        ),
    ]
    for call, message in wrong:
        with pytest.raises(KdpipeError, match=f"(?s){message}"):
            call()
