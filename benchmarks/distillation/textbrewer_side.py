"""TextBrewer's side of `benchmarks/distill.py`: its general distiller, with the padding of its users."""

from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import torch
from textbrewer import (
    DistillationConfig,
    GeneralDistiller,
    TrainingConfig,
)
from torch.utils.data import DataLoader

from benchmarks.distillation import setting
from kdpipe.data.encoded import split_file
from kdpipe.data.mapped import open_batches
from kdpipe.evaluation.scoring import head_of
from kdpipe.models.loading import load_frozen, load_tokenizer, load_with_head
from kdpipe.models.precision import default_device

Batch = dict[str, torch.Tensor]


class Recorder:
    """Replaces TextBrewer's writer to TensorBoard, and stores the total loss of each step."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """Store the total loss."""
        del step
        if name == "scalar/total_loss":
            self.losses.append(value)


class Timed:
    """Batches, which note the time at the end of each step."""

    def __init__(self, batches: DataLoader[Any], clock: setting.Clock) -> None:
        self.batches = batches
        self.clock = clock

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of an epoch; a step ends when the distiller takes the next batch."""
        for batch in self.batches:
            if not self.clock.ends:
                self.clock.reset(0)
            yield batch
            self.clock.update()


def main() -> None:
    """Train, print the outcome."""
    options = setting.parse_arguments()
    head, device = head_of(options.data), default_device()
    student = load_with_head(options.student, head, setting.SEED)
    student.to(device)
    teacher = load_frozen(options.teacher, head, device)
    clock, recorder = setting.Clock(), Recorder()
    outputs = {"output_hidden_states": True}
    if "attention_mse" in setting.RECIPES[options.recipe]:
        outputs = {"output_attentions": True}
        for model in (teacher, student):
            # No faster attention returns its probabilities.
            model.set_attn_implementation("eager")
    torch.manual_seed(setting.SEED)
    with TemporaryDirectory() as folder:
        distiller = make_distiller(teacher, student, folder, options)
        distiller.tb_writer = recorder
        optimizer = torch.optim.AdamW(student.parameters(), lr=setting.LEARNING_RATE, weight_decay=0.0)
        batches = Timed(make_batches(options), clock)
        with distiller, torch.autocast(device.type, dtype=torch.bfloat16, enabled=options.bf16):
            distiller.train(
                optimizer,
                batches,
                num_steps=options.steps,
                max_grad_norm=setting.MAX_GRAD_NORM,
                **outputs,
            )
    setting.report(student, options, cache_s=0.0, step_s=clock.seconds(), losses=recorder.losses)


def make_distiller(teacher: Any, student: Any, folder: str, options: Any) -> Any:
    """Return the distiller with the losses of the recipe."""
    matches = [
        make_match(name, *pair) for name in setting.RECIPES[options.recipe] for pair in setting.PAIRS[name]
    ]
    # TextBrewer's cross-entropy lacks the square of the temperature.
    config = DistillationConfig(
        temperature=setting.TEMPERATURE,
        kd_loss_weight=setting.TEMPERATURE**2,
        intermediate_matches=matches,
    )
    run = TrainingConfig(device=default_device(), output_dir=folder, ckpt_steps=options.steps)
    return GeneralDistiller(run, config, teacher, student, adapt, adapt)


def make_match(loss: str, teacher: int, student: int) -> dict[str, Any]:
    """Return a match in TextBrewer's terms: the attentions of the first block have number 0."""
    if loss == "attention_mse":
        layers: dict[str, Any] = {"layer_T": teacher - 1, "layer_S": student - 1}
    elif loss == "mmd":
        layers = {"layer_T": [teacher, teacher], "layer_S": [student, student]}
    else:
        layers = {"layer_T": teacher, "layer_S": student}
    feature = "attention" if loss == "attention_mse" else "hidden"
    return {**layers, "feature": feature, "loss": loss, "weight": 1}


def adapt(batch: Batch, outputs: Any) -> dict[str, Any]:
    """Return the signals under TextBrewer's names."""
    signals = {"logits": outputs.logits, "inputs_mask": batch["attention_mask"]}
    given = {"hidden": outputs.hidden_states, "attention": outputs.attentions}
    return signals | {name: states for name, states in given.items() if states is not None}


def make_batches(options: Any) -> DataLoader[Any]:
    """Return the shuffled batches of the training split."""
    columns = ["input_ids", "token_type_ids"]
    batches = open_batches(split_file(options.data, "train"))
    examples = pa.Table.from_batches(batches).select(columns).to_pylist()
    tokenizer = load_tokenizer(options.student)

    def collate(members: list[dict[str, list[int]]]) -> Batch:
        padded = tokenizer.pad(
            members, padding=options.padding, max_length=setting.MAX_LENGTH, return_tensors="pt"
        )
        return dict(padded)

    return DataLoader(examples, setting.BATCH_SIZE, shuffle=True, collate_fn=collate)


if __name__ == "__main__":
    main()
