"""The library: it gives what the stages give, for every task, and says what is wrong with its arguments."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict
from transformers import AutoModel, TrainerCallback

import kdpipe
from kdpipe.artifacts.parquet import read_parquet
from kdpipe.data.tokenized import TokenizedSplit
from kdpipe.errors import DataError, KdpipeError, ModelError, TrainingError
from kdpipe.evaluation.scoring import head_of
from kdpipe.losses import (
    AttentionMSELoss,
    EMDLoss,
    GramLoss,
    HardLoss,
    HiddenMSELoss,
    KLLoss,
    RelationLoss,
    SoftCrossEntropyLoss,
)
from kdpipe.models.loading import load_model, load_tokenizer, load_with_head
from kdpipe.models.pruned import ranks_of
from kdpipe.plan.stages.count_tokens import CountTokensSettings
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.evaluate import EvaluateSettings
from kdpipe.pruning.criteria.weight_gradient import WeightGradient
from kdpipe.signals.cache import CachedKnowledge
from kdpipe.stages import count_tokens, distill, evaluate
from tests.encoded import read_split, write_split
from tests.models.conftest import bodies, scattered
from tests.stages.conftest import job_for, pruned, scored

__all__ = ["bodies"]
FAST = {"num_train_epochs": 1, "per_device_train_batch_size": 16, "learning_rate": 1e-3, "bf16": False}
# Tasks whose models are scored, with the fixture of a dataset.
DATA = {
    "classification": "task_data",
    "multi_label": "topic_data",
    "regression": "number_data",
    "token_classification": "ner_data",
    "language_modeling": "text_data",
}


def rows_of(data: Path, split: str = "train") -> Dataset:
    """Return an encoded split as a user of transformers has it: token ids, and labels for the model."""
    rows = read_split(data, split).to_pylist()
    for row in rows:
        if "words" in row:
            labels = dict(zip(row.pop("words"), row["labels"], strict=True))
            row["labels"] = [labels.get(place, -100) for place in range(row["length"])]
        if "starts" in row:
            row["start_positions"], row["end_positions"] = row.pop("labels")
        row["attention_mask"] = [1] * row.pop("length")
    kept = ("input_ids", "token_type_ids", "attention_mask", "labels", "start_positions", "end_positions")
    return Dataset.from_list([{name: row[name] for name in kept if name in row} for row in rows])


def without_cut_words(data: Path, folder: Path) -> Path:
    """Return a dataset without cut sentences: a stage also scores the words that are gone."""
    shutil.copytree(data, folder)
    for split in ("train", "validation"):
        table = read_split(data, split)
        if "words" in table.column_names:
            write_split(
                folder, split, table.filter([-1 not in words for words in table["words"].to_pylist()])
            )
    return folder


@pytest.fixture
def folders(
    request: pytest.FixtureRequest, language_model: Path, tmp_path: Path
) -> Callable[[str], tuple[Path, Path, Path]]:
    """A function from a dataset's fixture to the folders of a teacher, a student and the dataset."""

    def make(name: str) -> tuple[Path, Path, Path]:
        data = without_cut_words(request.getfixturevalue(name), tmp_path / "data")
        head = head_of(data)
        tokenizer = load_tokenizer(language_model)
        for folder, seed in (("teacher", 3), ("student", 4)):
            model = load_with_head(language_model, head, seed)
            model.save_pretrained(tmp_path / folder)
            tokenizer.save_pretrained(tmp_path / folder)
        return tmp_path / "teacher", tmp_path / "student", data

    return make


@pytest.mark.parametrize("task", DATA)
def test_distilled_and_scored_as_by_the_stages(task: str, folders: Any, tmp_path: Path) -> None:
    teacher, student, data = folders(DATA[task])
    losses: list[dict[str, Any]] = [{"loss": "kl"}, {"loss": "hidden_mse", "layers": "spaced", "weight": 3}]
    given = {"teacher": "t", "student": "s", "dataset": "d", "losses": losses, "training": FAST, "seed": 7}
    counts = None
    if task == "language_modeling":
        counts = tmp_path / "counts"
        count_tokens.run(CountTokensSettings(), job_for(counts), data=data, tokenizer=student)
    places = {"teacher": [teacher], "student": student, "data": [data], "counts": counts}
    distill.run(DistillSettings.model_validate(given), job_for(tmp_path / "distilled"), **places)
    job = job_for(tmp_path / "scores")
    evaluate.run(EvaluateSettings(seed=7), job, model=tmp_path / "distilled", data=data)

    tokenizer = load_tokenizer(student)
    losses_given = [KLLoss(), kdpipe.Weighted(HiddenMSELoss(), 3, layers="spaced")]
    models = load_model(teacher), load_model(student)
    found = kdpipe.distill(*models, rows_of(data), losses_given, tokenizer=tokenizer, seed=7, **FAST)
    assert found is models[1]
    for name, value in load_model(tmp_path / "distilled").state_dict().items():
        assert torch.equal(value, found.state_dict()[name].cpu()), name
    metrics = kdpipe.evaluate(found, rows_of(data, "validation"), tokenizer=tokenizer, seed=7)
    rows = read_parquet(tmp_path / "scores" / "metrics.parquet")
    assert metrics == {row["metric"]: row["value"] for row in rows if row["split"] == "validation"}


@pytest.mark.parametrize("name", ["task_data", "ner_data", "question_data"])
def test_pruned_as_by_the_stages(name: str, folders: Any, tmp_path: Path) -> None:
    folder, _, data = folders(name)
    importance = scored(folder, data, criterion="weight_gradient", batches=2, batch_size=8, seed=5)
    expected = load_model(pruned(folder, tmp_path / "pruned", importance, sparsity=0.5))
    how: dict[str, Any] = {"criterion": WeightGradient, "batches": 2, "batch_size": 8, "seed": 5}
    model = load_model(folder)
    found = kdpipe.prune(model, rows_of(data), sparsity=0.5, **how)
    assert found.config.unit_counts == expected.config.unit_counts
    for key, value in expected.state_dict().items():
        assert torch.equal(value, found.state_dict()[key]), key
    assert found.num_parameters() < model.num_parameters()
    again = kdpipe.prune(found, rows_of(data), sparsity=0.75, **how)
    assert ranks_of(again) is not None


def test_questions_are_distilled(folders: Any) -> None:
    teacher, student, data = map(load_model_or_data, folders("question_data"))
    before = {name: value.clone() for name, value in student.state_dict().items()}
    losses = [SoftCrossEntropyLoss(2), kdpipe.Weighted(RelationLoss(), layers=[(4, 2)])]
    kdpipe.distill(teacher, student, data, losses, **FAST)
    assert any(not torch.equal(value, before[name]) for name, value in student.state_dict().items())
    with pytest.raises(KdpipeError, match="question answering with the workflow"):
        kdpipe.evaluate(student, data)


def test_losses_of_the_largest_logits_and_of_all_blocks(classifier: Path, task_data: Path) -> None:
    teacher, student, rows = load_model(classifier), load_model(classifier), rows_of(task_data)
    with torch.no_grad():
        student.classifier.weight.add_(torch.linspace(0, 1, 32).view_as(student.classifier.weight))
    soft = SoftCrossEntropyLoss(kdpipe.TemperatureSchedule(4, "cwsm"))
    losses = [
        kdpipe.Weighted(soft, probability_shift=True),
        kdpipe.Weighted(KLLoss(), top_k=1),
        kdpipe.Weighted(GramLoss(), layers=[((0, 4), (0, 4))], over_pairs="sum"),
        EMDLoss(),
    ]
    history = Curve()
    kdpipe.distill(
        teacher, student, rows, losses, seed=7, callbacks=[history], **{**FAST, "num_train_epochs": 3}
    )
    assert history.values["KLLoss"][-1] < history.values["KLLoss"][0]
    assert {"EMDLoss", "GramLoss", "lowest temperature of SoftCrossEntropyLoss"} <= {*history.values}


def test_a_teacher_whose_signals_are_stored_runs_once_and_teaches_the_same(
    classifier: Path, task_data: Path
) -> None:
    rows, curves, runs = rows_of(task_data), [], []
    losses = [KLLoss(), kdpipe.Weighted(HiddenMSELoss(), layers="spaced"), AttentionMSELoss()]
    for cache in (None, "float32"):
        teacher, student, curve = scattered(load_model(classifier)), load_model(classifier), Curve()
        forwards: list[Any] = []
        teacher.register_forward_hook(lambda *_, forwards=forwards: forwards.append(1))
        options = {**FAST, "num_train_epochs": 2, "cache": cache, "callbacks": [curve], "logging_steps": 1}
        kdpipe.distill(teacher, student, rows, losses, **options)
        curves.append(curve.values["loss"])
        runs.append(len(forwards))
    assert curves[1] == pytest.approx(curves[0], rel=1e-5)
    assert curves[0][-1] < curves[0][0]
    # A run on one example shows how large the signals are.
    assert runs[1] == 1 + -(-len(rows) // 32) < 2 * len(rows) // 16 <= runs[0]


def test_large_signals_are_stored_in_short_record_batches(
    classifier: Path, task_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[int] = []

    class Watched(CachedKnowledge):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            parts.extend(len(column.parts) for column in self.columns.values())

    monkeypatch.setattr("kdpipe.library.lessons.CachedKnowledge", Watched)
    monkeypatch.setattr("kdpipe.signals.building.STORED_BYTES", 10_000)
    teacher, student = load_model(classifier), load_model(classifier)
    states = kdpipe.Weighted(HiddenMSELoss(), layers="spaced")
    kdpipe.distill(teacher, student, rows_of(task_data), [states], cache="float16", **FAST)
    assert min(parts) > 1


def test_text_that_is_masked_anew_is_not_stored(language_model: Path, text_data: Path) -> None:
    teacher, student = load_model(language_model), load_model(language_model)
    tokenizer, rows = load_tokenizer(language_model), rows_of(text_data)
    for cache, fault in (("float16", "text is masked anew"), ("float8", "expected float16 or .* 'float8'")):
        with pytest.raises(KdpipeError, match=rf"cache: {fault}"):
            kdpipe.distill(teacher, student, rows, [KLLoss()], tokenizer=tokenizer, cache=cache, **FAST)


def test_heads_of_a_bigru_are_refused(bodies: dict[str, Path], task_data: Path) -> None:
    head = head_of(task_data)
    teacher, student = load_with_head(bodies["bert"], head, 1), load_with_head(bodies["bigru"], head, 2)
    for loss in (AttentionMSELoss("mean"), RelationLoss()):
        with pytest.raises(ModelError, match=r"a BiGRU.* has no attention heads to compare"):
            kdpipe.distill(teacher, student, rows_of(task_data), [kdpipe.Weighted(loss)], **FAST)


class Curve(TrainerCallback):
    """Keeps what is logged, by name."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = {}

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        for name, value in logs.items():
            self.values.setdefault(name, []).append(value)


def load_model_or_data(folder: Path) -> Any:
    return rows_of(folder) if (folder / "dataset.json").exists() else load_model(folder)


def test_a_training_is_scored_and_some_weights_stay(folders: Any) -> None:
    teacher, student, data = folders("task_data")
    model = load_model(student)
    embeddings = model.get_input_embeddings().weight.clone()
    how = {**FAST, "eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True}
    validation = rows_of(data, "validation")
    losses = [kdpipe.Weighted(HiddenMSELoss(), projection=kdpipe.Projection("linear"))]
    trained = kdpipe.distill(
        load_model(teacher), model, rows_of(data), losses, validation=validation,
        freeze=["*embeddings*"], metric_for_best_model="accuracy", **how,
    )  # fmt: skip
    assert torch.equal(trained.get_input_embeddings().weight, embeddings)
    assert not trained.training


@pytest.mark.parametrize(("change", "error", "message"), [
    (lambda rows: DatasetDict(train=rows), DataError, r"found a DatasetDict; .* dataset\['train'\]"),
    (lambda rows: rows.remove_columns("input_ids"), DataError, "expected rows with `input_ids`, .*tokenizer"),
    (lambda rows: rows.select([]), DataError, "found 0 rows"),
    (lambda rows: rows.map(lambda row: {"attention_mask": [0, *row["attention_mask"][1:]]}), DataError,
     "tokenize without `padding`"),
    (lambda rows: rows.map(lambda row: {"labels": 2}), DataError, "classification expected numbers below 2"),
    (lambda rows: rows.map(lambda row: {"labels": -1}), DataError, "classification expected numbers below 2"),
    (lambda rows: rows.cast_column("labels", ClassLabel(names=["1", "0"])), DataError,
     "order of the model, 0, 1"),
    (lambda rows: rows.map(lambda row: {"input_ids": [999, *row["input_ids"][1:]]}), ModelError,
     "the dataset has the token 999, but the BertForSequenceClassification knows"),
    (lambda rows: rows.map(lambda row: {key: row[key] * 9 for key in ("input_ids", "attention_mask")}),
     ModelError, "reads at most 64"),
    (lambda rows: rows.remove_columns("labels"), KdpipeError, "expected rows with a column `labels`"),
])  # fmt: skip
def test_rows_that_do_not_fit_are_refused(
    change: Any, error: type[Exception], message: str, classifier: Path, task_data: Path
) -> None:
    with pytest.raises(error, match=message):
        kdpipe.evaluate(load_model(classifier), change(rows_of(task_data)))


def test_arguments_that_do_not_fit_are_refused(
    classifier: Path, language_model: Path, task_data: Path
) -> None:
    rows = rows_of(task_data)
    models = load_model(classifier), load_model(classifier)
    body = AutoModel.from_pretrained(classifier)

    def weighted(loss: Any, **choices: Any) -> Any:
        return kdpipe.distill(*models, rows, [kdpipe.Weighted(loss, **choices)])

    wrong: list[tuple[Any, str]] = [
        (lambda: kdpipe.distill(*models, rows, []), "losses: expected a loss with a weight"),
        (lambda: kdpipe.distill(*models, rows, [KLLoss]), "losses: expected objects .*KLLoss'"),
        (lambda: kdpipe.distill(*models, rows, "kl"), "losses: expected objects .*'kl'"),
        (
            lambda: kdpipe.distill(*models, rows, [kdpipe.Weighted(KLLoss(), -1)]),
            "KLLoss: expected a weight from 0",
        ),
        (
            lambda: kdpipe.distill(*models, rows, [kdpipe.Weighted(KLLoss(), teacher="b")]),
            "no teacher 'b'; there is teacher",
        ),
        (lambda: kdpipe.distill(*models, rows.remove_columns("labels"), [HardLoss()]), "rows with labels"),
        (lambda: kdpipe.distill(models[0], models[0], rows, [KLLoss()]), "one model twice"),
        (
            lambda: weighted(HiddenMSELoss(), projection="linear"),
            "HiddenMSELoss: .*Projection.kind.*'linear'",
        ),
        (
            lambda: weighted(HiddenMSELoss(), projection=kdpipe.Projection("sine")),
            "kind linear or relu or tanh",
        ),
        (lambda: weighted(KLLoss(), projection=kdpipe.Projection()), "KLLoss: expected no `projection`"),
        (lambda: weighted(HiddenMSELoss(), positions="first"), "`all` or `masked` as `positions`.*'first'"),
        (lambda: weighted(KLLoss(), modules=[("pooler", "pooler")]), "KLLoss: expected no `modules`"),
        (lambda: weighted(HiddenMSELoss(), over_pairs="avg"), "HiddenMSELoss: expected `mean` or `sum`"),
        (lambda: weighted(HiddenMSELoss(), name="a.b"), "HiddenMSELoss: expected letters, .* found 'a.b'"),
        (lambda: weighted(EMDLoss(), modules=[("a", "b")]), "EMDLoss: expected no `modules`"),
        (lambda: weighted(HiddenMSELoss(), layers=[(1, 2, 3)]), r"expected pairs of layers, .* \(1, 2, 3\)"),
        (lambda: weighted(HiddenMSELoss(), layers=[("a", 1)]), r"expected pairs of layers, .* \('a', 1\)"),
        (lambda: weighted(HiddenMSELoss(), layers=[4, 2]), "expected pairs of layers, .* found 4"),
        (lambda: weighted(HiddenMSELoss(), layers=5), "expected pairs of layers, .* found 5"),
        (
            lambda: weighted(KLLoss(), layers=[(4, 4)]),
            "KLLoss: expected no `layers`, as it compares no pairs",
        ),
        (lambda: weighted(EMDLoss(), layers="spaced"), "EMDLoss: expected no `layers`, as it compares no"),
        (lambda: weighted(KLLoss(), weight="1"), "KLLoss: expected a weight from 0, or a .* found '1'"),
        (lambda: weighted(KLLoss(), weight=float("nan")), "KLLoss: expected a weight from 0, or a .* nan"),
        (lambda: weighted(HiddenMSELoss(), positions="masked"), "positions: `masked` needs tokens with lab"),
        (lambda: weighted(GramLoss(), positions="all"), "GramLoss: positions: .* compares examples"),
        (lambda: weighted(EMDLoss(), positions="masked"), "EMDLoss: positions: `masked` needs tokens with"),
        (
            lambda: weighted(HiddenMSELoss(), projection=kdpipe.Projection(learning_rate=-1)),
            "expected a learning rate above 0, found -1",
        ),
        (lambda: weighted(KLLoss(), top_k=0), "KLLoss: expected a number of classes, or no `top_k`, found 0"),
        (lambda: weighted(KLLoss(), top_k=9), "top_k: expected fewer than the 2 outputs .* found 9"),
        (lambda: weighted(HiddenMSELoss(), top_k=2), "HiddenMSELoss: expected a number of classes, or no"),
        (lambda: weighted(HardLoss(), probability_shift=True), "HardLoss: expected no `probability_shift`"),
        (lambda: weighted(HiddenMSELoss(), modules=["ab"]), "pairs of names as `modules`, found .'ab'"),
        (
            lambda: weighted(HiddenMSELoss(), modules=[("pooler", "pooler")]),
            r"module 'pooler': expected an output for each token, \[1, \d+, width\], found \[1, 16\]",
        ),
        (
            lambda: kdpipe.distill("bert", models[0], rows, [KLLoss()]),
            "a model of transformers, found 'bert'; .*`kdpipe.Adapted`",
        ),
        (lambda: kdpipe.prune(models[0], rows, sparsity=0.5, batches=0), "at least one batch"),
        (lambda: kdpipe.prune(models[0], rows, sparsity=0.5, criterion="random"), "criterion: .* a class"),
        (lambda: kdpipe.distill(*models, rows, [KLLoss()], lr=1), "training.lr: expected a field"),
        (lambda: kdpipe.distill(*models, rows, [KLLoss()], output_dir="x"), "training.output_dir"),
        (lambda: kdpipe.distill(*models, rows, [KLLoss()], eval_strategy="rarely"), "training: .*rarely"),
        (lambda: kdpipe.distill(*models, rows, [KLLoss()], eval_strategy="epoch"), "no validation split"),
        (lambda: kdpipe.distill(models[0], body, rows, [KLLoss()]), "expected a model with a head"),
        (lambda: kdpipe.distill(body, models[1], rows, [KLLoss()]), "a teacher with a head"),
        (lambda: kdpipe.prune(models[0], rows, sparsity=1), "sparsity: expected a share"),
        (lambda: kdpipe.evaluate(models[0], rows, metrics=["bleu"]), "metrics: expected some of accuracy"),
        (lambda: kdpipe.evaluate(load_model(language_model), rows), "tokenizer: masked language"),
        (lambda: kdpipe.prune(load_model(language_model), rows, sparsity=0.5), "a head for a task"),
    ]
    for call, message in wrong:
        with pytest.raises((KdpipeError, TrainingError), match=message):
            call()


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (1, 64), (None, 2)])
def test_answers_outside_their_row_are_refused(start: Any, end: int, question_data: Path) -> None:
    rows = rows_of(question_data).map(lambda row: {"start_positions": start, "end_positions": end})
    with pytest.raises(DataError, match=r"start_positions and end_positions: expected .* in row 0, found"):
        TokenizedSplit(rows, "question_answering", ())


def test_teachers_with_other_outputs_are_refused(classifier: Path, task_data: Path) -> None:
    teacher = load_model(classifier)
    teacher.config.id2label = {0: "1", 1: "0"}
    with pytest.raises(ModelError, match="in the teacher, 0, 1, found 1, 0"):
        kdpipe.distill(teacher, load_model(classifier), rows_of(task_data), [KLLoss()])
    body, student = AutoModel.from_pretrained(classifier), load_model(classifier)
    kdpipe.distill(body, student, rows_of(task_data), [HiddenMSELoss()], **FAST)


def test_an_import_loads_nothing_heavy() -> None:
    code = "import json, sys, kdpipe; print(json.dumps([*sys.modules]))"
    found = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert not {"torch", "transformers", "datasets", "pydantic", "numpy"} & {*found}
    with pytest.raises(AttributeError, match="no attribute 'distil'"):
        kdpipe.distil  # noqa: B018
