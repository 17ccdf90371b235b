"""A check of the config refuses settings that no stage can work with, each at its place."""

import pytest

ENDLESS = "should be less than or equal to"
TRAINING = {
    "learning_rate": (-1, "should be greater than or equal to 0, found -1"),
    "warmup_steps": (-1, "should be greater than or equal to 0, found -1"),
    "logging_steps": (0, "should be greater than 0, found 0"),
    "adam_beta1": (2, "should be less than 1, found 2"),
    "adam_epsilon": (-1, "should be greater than 0, found -1"),
    "dataloader_num_workers": (-1, "should be greater than or equal to 0, found -1"),
    "max_steps": (0, "expected at least 1, or -1 to go by `num_train_epochs`, found 0"),
    "lr_scheduler_type": ("cosine_with_min_lr", "expected one of `min_lr` and `min_lr_rate`"),
    "lr_scheduler_kwargs": ("{", "should be a valid mapping, found '{'"),
    "deepspeed": ("ds.json", "is not supported: each process trains a whole model"),
    "fsdp": ("full_shard", "is not supported: each process trains a whole model"),
    "fsdp_config": ({}, "is not supported: each process trains a whole model"),
    "accelerator_config": ({}, "is not supported: each process trains a whole model"),
    "parallelism_config": ({}, "is not supported: each process trains a whole model"),
    "ddp_backend": ("x", "is set by kdpipe: kdpipe starts the processes and joins them"),
    "debug": ("underflow_overflow", "is not supported: it is for developers of transformers"),
    "use_liger_kernel": (True, "is not supported: its kernels are for models of other families"),
    "optim": ("galore_adamw", "is not supported: it needs a package that kdpipe does not install"),
    "report_to": ("all", "expected none or tensorboard or wandb or mlflow or trackio, found 'all'"),
    "tf32": ("sometimes", "should be a valid boolean, unable to interpret input, found 'sometimes'"),
}


@pytest.mark.parametrize("name", TRAINING)
def test_of_a_training(mistakes_of, name):
    value, what = TRAINING[name]
    (mistake,) = mistakes_of({f"models.teacher.finetune.training.{name}": value})
    # A schedule lacks what stands beside it.
    place = "lr_scheduler_kwargs" if name == "lr_scheduler_type" else name
    assert mistake.startswith(f"models.teacher.finetune.training.{place}: ")
    assert what in mistake


def test_a_negative_number_of_steps_is_not_three_epochs(mistakes_of):
    (mistake,) = mistakes_of({"defaults.finetune.training.max_steps": -5})
    assert mistake.startswith("defaults.finetune.training.max_steps: expected at least 1")


@pytest.mark.parametrize(("path", "value", "what"), [
    ("models.base.pretrain.architecture.hidden_act", "nope", "'nope' is not known; there is gelu, "),
    ("models.base.pretrain.architecture.hidden_dropout_prob", -1, "greater than or equal to 0, found -1"),
    ("models.base.pretrain.architecture.hidden_dropout_prob", 2, "should be less than 1, found 2"),
    ("models.base.pretrain.architecture.initializer_range", -1, "greater than or equal to 0, found -1"),
    ("models.base.pretrain.architecture.pad_token_id", 10**6, "is set by kdpipe, from the tokenizer"),
    ("models.base.pretrain.architecture.type_vocab_size", 0, "greater than or equal to 1, found 0"),
    ("models.base.pretrain.vocab_size", 10**12, f"{ENDLESS} 1000000000, found 1000000000000"),
    ("models.base.pretrain.vocab_size", 10**9, "would make a model of about 24,"),
    ("models.base.pretrain.architecture.hidden_size", 10**12, f"{ENDLESS} 1048576"),
    ("models.student.distill.losses[0].temperature", 1e300, f"{ENDLESS} 1000000, found 1e+300"),
    ("models.student.distill.losses[0].temperature", True, "should be a valid number, found True"),
    ("models.student.distill.losses[0].weight", 1e300, f"{ENDLESS} 1000000000, found 1e+300"),
    ("models.teacher.finetune.seed", 2**32, "should be less than 4294967296, found 4294967296"),
    ("report.published", 3, "should be a valid path, found 3"),
    ("datasets.task.max_length", "x" * 21_000, "should be a valid integer, found 'xxx"),
    ("models.teacher.finetune.dataset", {"x": list("x" * 5000)}, "should be a valid string or a valid list,"
     " found {'x': ["),
])  # fmt: skip
def test_of_models_and_datasets(mistakes_of, path, value, what):
    (mistake,) = mistakes_of({path: value})
    assert mistake.startswith(f"{path}: ")
    assert what in mistake
    assert len(mistake) < 300


@pytest.mark.parametrize(("name", "value", "what"), [
    ("threads", 10**12, f"{ENDLESS} 1024, found 1000000000000"),
    ("threads", True, "should be a valid integer, found True"),
    ("seed", True, "should be a valid integer, found True"),
    ("checkpoint_minutes", 1e300, f"{ENDLESS} 1000000000, found 1e+300"),
    ("cache_limit_gb", 1e300, f"{ENDLESS} 1000000000, found 1e+300"),
])  # fmt: skip
def test_of_the_config_itself(mistakes_of, name, value, what):
    assert mistakes_of({name: value}) == [f"{name}: {what}"]


def test_a_key_with_control_characters_is_told_in_one_line(mistakes_of):
    (mistake,) = mistakes_of({"models": {"a\n\x1b[31m": {"load": {"path": "x/y"}}}})
    assert mistake.isprintable()
