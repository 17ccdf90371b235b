"""Times and memory of passes over a batch of one shape."""

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import XLMConfig, XLMModel

import kdpipe
from kdpipe.errors import KdpipeError
from kdpipe.evaluation import latency
from kdpipe.evaluation.latency import RESET, measure
from kdpipe.models.loading import Head
from tests.models.conftest import KINDS, SHAPES, bodies, tiny, with_head

__all__ = ["bodies", "with_head"]
POSITIONS = 40
MEGABYTES = 64


class Clock:
    """A clock that the passes of models move."""

    now = 0.0

    def passes(self, *seconds: float) -> Any:
        """Return a model whose passes take so many seconds in turn, the last number again and again."""
        model, left = tiny("bert"), [*seconds]

        def move(*_: Any) -> None:
            self.now += left.pop(0) if len(left) > 1 else left[0]

        model.register_forward_hook(move)
        return model


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(latency, "perf_counter", lambda: clock.now)
    return clock


@pytest.fixture(autouse=True)
def _short_warmup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "WARMUP_SECONDS", 0)


def brief(model: Any, *shape: int, **options: Any) -> latency.Latency:
    return measure(model, *shape, **{"repeats": 2, "seconds": 0, **options})


def test_the_median_and_the_percentile_are_of_the_passes_that_count(clock: Clock) -> None:
    told = measure(clock.passes(9, 9, 9, 1, 2, 3, 4, 104), 3, 8, threads=2, repeats=5, seconds=0)
    assert (told.batch, told.length, told.threads, told.warmup, told.repeats) == (3, 8, 2, 3, 5)
    assert told.median_seconds == pytest.approx(3)
    assert told.p95_seconds == pytest.approx(84)
    assert told.peak_bytes > 10**7
    assert told.device


@pytest.mark.parametrize(
    ("seconds", "options", "warmup", "repeats"),
    [
        (0.05, {"repeats": 2, "seconds": 1.01}, 11, 21),
        (0.001, {"repeats": 20, "seconds": 5}, 510, 200),
        (2.0, {}, 3, 20),
        (2.0, {"repeats": 300, "seconds": 5}, 3, 300),
    ],
)
def test_passes_end_with_their_time_or_their_number(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, seconds: float, options: Any, warmup: int, repeats: int
) -> None:
    monkeypatch.setattr(latency, "WARMUP_SECONDS", 0.51)
    told = measure(clock.passes(seconds), 1, 8, **options)
    assert (told.warmup, told.repeats) == (warmup, repeats)


def test_what_the_model_is_given_and_how_it_runs() -> None:
    seen = []

    def look(module: nn.Module, args: Any, given: dict[str, torch.Tensor]) -> None:
        state = torch.is_inference_mode_enabled(), module.training, torch.get_num_threads(), gc.isenabled()
        seen.append((given, state))

    model, before = tiny("bert").train(), torch.get_num_threads()
    model.register_forward_pre_hook(look, with_kwargs=True)
    told = brief(model, 3, 8, threads=2)
    assert len(seen) == told.warmup + told.repeats == 5
    given, state = seen[0]
    assert {name: tuple(tensor.shape) for name, tensor in given.items()} == dict.fromkeys(
        ("input_ids", "attention_mask", "token_type_ids"), (3, 8)
    )
    assert given["attention_mask"].all()
    assert len(given["input_ids"].unique()) > 8
    assert state == (True, False, 2, False)
    assert (torch.get_num_threads(), gc.isenabled()) == (before, True)


@pytest.mark.parametrize(("name", "head"), KINDS)
def test_every_family_with_each_head(with_head: Any, name: str, head: Head) -> None:
    assert brief(with_head(name, head), 2, POSITIONS).median_seconds > 0


@pytest.mark.parametrize("name", SHAPES)
def test_bodies(name: str) -> None:
    assert brief(tiny(name), 2, 8).median_seconds > 0


def test_the_peak_is_of_the_passes() -> None:
    before = brief(tiny("bert"), 1, 8).peak_bytes
    model = tiny("bert")
    model.register_forward_hook(lambda *_: torch.ones(MEGABYTES * 2**18).sum().item())
    with_more = brief(model, 1, 8).peak_bytes
    assert with_more > before + MEGABYTES * 2**19
    try:
        RESET.write_text("5")
    except OSError:
        pytest.skip("the peak of a process cannot be reset here")
    assert brief(tiny("bert"), 1, 8).peak_bytes < with_more - MEGABYTES * 2**19


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (tiny("bert"), {"length": 41}, "length: expected at most 40 tokens, which the model reads, found 41"),
        (tiny("roberta"), {"length": 41}, "expected at most 40 tokens"),
        (tiny("bert"), {"batch": 0}, "batch: expected a number from 1, found 0"),
        (tiny("bert"), {"threads": -1}, "threads: expected a number from 1, found -1"),
        (XLMModel(XLMConfig(emb_dim=8, n_heads=2, n_layers=1)), {}, "families: 'xlm' is not known"),
        (nn.Linear(2, 2), {}, r"measure: expected a model of a family \(`kdpipe list families`\), found a L"),
    ],
)
def test_what_cannot_be_measured(model: Any, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(KdpipeError, match=message):
        kdpipe.measure(model, **{"length": 8, **arguments})


def test_a_classifier_of_tokens_with_prompts_for_each(with_head: Any) -> None:
    assert brief(tiny("enct5"), 1, POSITIONS + 1).length == POSITIONS + 1
    with pytest.raises(KdpipeError, match="at most 40 tokens"):
        brief(with_head("enct5", Head("token_classification", ("a", "b"))), 1, POSITIONS + 1)


def test_the_processor_is_named_where_the_system_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr("kdpipe.processes.CPUINFO", file)
    assert brief(tiny("bert"), 1, 8).device == "cpu"
    file.write_text("processor\t: 0\nmodel name\t: A Processor 5\nflags\t\t: avx2\n")
    assert brief(tiny("bert"), 1, 8).device == "A Processor 5"
