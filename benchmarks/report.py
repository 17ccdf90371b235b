"""Seconds until the report of many models is written, and until headless Chromium has opened its page.

    python benchmarks/report.py [--copies N] [--seeds N] [--json FILE]

The models come from the default run, which `make run` makes first. Each copy of the default run has names
of its own, so that the report has a row for each model of each copy, averaged over seeds. The seconds of
Chromium are those for the page less those for an empty page; without Chromium they are left out.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

RUN = Path(__file__).parents[1]
COPY = "-{copy}-{seed}"
# Settings of a stage that name models.
READ = ("model", "teacher", "student")
# The model that all copies share, and with it the data that its tokenizer has made.
SHARED = "base"
AT_MOST = {"write": 60.0, "open": 3.0}


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--copies", type=int, default=34)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args()
    if not (RUN / "results/default/report").is_dir():
        parser.error("there is no results/default/report: `make run` makes it")
    results = measure(options.copies, options.seeds)
    print(f"{results['models']} models, a page of {results['megabytes']:.1f} MB")
    for what, most in AT_MOST.items():
        taken = "no Chromium" if results[what] is None else f"{results[what]:.1f} s"
        print(f"{what:8}{taken:>12}   at most {most:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def measure(copies: int, seeds: int) -> dict[str, Any]:
    """Write the report of copies of the default run, and open its page."""
    # The copies are links, which need one file system.
    with TemporaryDirectory(dir=RUN / "results") as name:
        folder = Path(name)
        models = copy_run(folder, range(copies), range(seeds))
        report = [sys.executable, "-m", "kdpipe.stages.report", "--config", "config.yaml"]
        written = seconds([*report, "--output", "results/report"], folder)
        page = folder / "results/report/report.html"
        return {
            "models": models,
            "megabytes": page.stat().st_size / 1e6,
            "write": written,
            "open": open_page(page.as_uri(), folder),
        }


def copy_run(folder: Path, copies: range, seeds: range) -> int:
    """Link the results of the default run under many names, write their config, and return their number."""
    config = yaml.safe_load((RUN / "config.yaml").read_text(encoding="utf-8"))
    made, copied = RUN / "results/default", [name for name in config["models"] if name != SHARED]
    for part in ("data", "models/base", "evaluations/base"):
        shutil.copytree(made / part, folder / "results" / part, copy_function=os.link)
    for ending in [f"-{copy}-{seed}" for copy in copies for seed in seeds]:
        for part in ("models", "evaluations", "importance", "knowledge"):
            for name in (name for name in copied if (made / part / name).exists()):
                shutil.copytree(
                    made / part / name, folder / "results" / part / (name + ending), copy_function=os.link
                )
    nodes = {SHARED: config["models"][SHARED]}
    nodes |= {name + COPY: renamed(config["models"][name]) for name in copied}
    matrix = {"copy": list(copies), "seed": list(seeds)}
    report = {"baseline": f"teacher{COPY}"}
    content = {**config, "results": "results", "matrix": matrix, "models": nodes, "report": report}
    (folder / "config.yaml").write_text(json.dumps(content), encoding="utf-8")
    return 1 + len(copied) * len(copies) * len(seeds)


def renamed(node: dict[str, Any]) -> dict[str, Any]:
    """Return a node that reads the models of its own copy."""
    [(stage, settings)] = node.items()
    return {stage: {key: other_name(value) if key in READ else value for key, value in settings.items()}}


def other_name(model: str) -> str:
    """Return the name of a model of the default run in a copy."""
    return model if model == SHARED else model + COPY


def open_page(address: str, folder: Path) -> float | None:
    """Return the seconds that Chromium needs more for a page than for an empty page."""
    if not (browser := shutil.which("chromium")):
        return None
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    empty, page = (
        min(seconds([*command, place], folder) for _ in range(3)) for place in ("about:blank", address)
    )
    return page - empty


def seconds(command: list[str], folder: Path) -> float:
    """Return the seconds of a command by the clock; the command must succeed."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    taken = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stderr)
    return taken


if __name__ == "__main__":
    main()
