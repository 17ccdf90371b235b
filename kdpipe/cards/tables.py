"""The tables of a card, in Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kdpipe.cards.chain import Step
from kdpipe.cards.scores import Score


def score_table(scores: Sequence[Score], statistic: str) -> str:
    """Return the scores of a model, beside their average over runs where there are several."""
    several = any(score.runs > 1 for score in scores)
    heading = ["format", "dataset", "split", "metric", "score", "n"]
    rows = [
        [
            score.format,
            score.dataset,
            score.split,
            score.metric,
            _number(score.value),
            f"{score.n:,}",
            *([_over_runs(score)] if several else []),
        ]
        for score in scores
    ]
    return _table([*heading, *([f"{statistic} ± deviation over runs"] if several else [])], rows)


def step_table(steps: Sequence[Step]) -> str:
    """Return the steps that made a model."""
    heading = ["model", "stage", "made of", "teacher", "data", "seed", "examples seen"]
    rows = [
        [
            step.model,
            step.stage,
            step.source,
            ", ".join(step.teachers),
            ", ".join(step.datasets),
            str(step.seed),
            "" if step.examples is None else f"{step.examples:,}",
        ]
        for step in steps
    ]
    return _table(heading, rows)


def latency_table(measured: Iterable[Mapping[str, Any]]) -> str:
    """Return how long a batch takes, the memory at its peak, and the passes that count and that warm up."""
    heading = [
        "format",
        "batch",
        "tokens",
        "threads",
        "median",
        "95th percentile",
        "passes",
        "on disk",
        "memory",
        "device",
    ]
    rows = [
        [
            *(str(row[name]) for name in ("format", "batch", "length", "threads")),
            f"{1e3 * row['median_seconds']:.2f} ms",
            f"{1e3 * row['p95_seconds']:.2f} ms",
            f"{row['repeats']} after {row['warmup']}",
            f"{row['bytes'] / 1e6:,.1f} MB",
            f"{row['peak_bytes'] / 1e6:,.0f} MB",
            row["device"],
        ]
        for row in measured
    ]
    return _table(heading, rows)


def environment_line(manifest: Mapping[str, Any], packages: Iterable[str]) -> str:
    """Return with what a model was made, but not when and where: equal models have equal cards."""
    versions = manifest["versions"]
    told = [f"{name} {versions[name]}" for name in packages if name in versions]
    return ", ".join([*told, manifest["device"]])


def _over_runs(score: Score) -> str:
    if score.runs == 1:
        return ""
    return f"{_number(score.average)} ± {_number(score.spread)} ({score.runs} runs)"


def _number(value: float) -> str:
    """Return a score with four decimals, and a true minus sign."""
    return f"{value:.4f}".replace("-", "\N{MINUS SIGN}")


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', ' ') for cell in line)} |" for line in lines)
