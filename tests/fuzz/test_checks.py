"""Hostile configs, data files, model folders and command lines, in the process of the tests."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from kdpipe.plan.build import load_graph
from tests.fuzz.arguments import hostile_arguments
from tests.fuzz.artifacts import leave_artifacts
from tests.fuzz.configs import right_config
from tests.fuzz.draws import CACHES, CONFIG, Draw, each
from tests.fuzz.runs import at_most, has_small_data, read_dataset, run_command
from tests.fuzz.world import changes, is_below, look_at

pytestmark = pytest.mark.slow
SECONDS = 30


def test_what_draws_start_from_is_right(template, world):
    def check(draw: Draw) -> None:
        draw.renew()
        draw.file.write_text(json.dumps(right_config(draw.rng)), encoding="utf-8")
        draw.expect("check", *run_command(["check", CONFIG]), ends=(0,))

    each("right", 20, template, world, check)


def test_a_fault_is_told_with_its_draw_and_config(template, world):
    def lose(draw: Draw) -> None:
        draw.renew()
        draw.file.write_text("models: {}", encoding="utf-8")
        before = look_at(draw.world)
        Path("notes.txt").unlink()
        Path("../home/more").touch()
        draw.faults += changes(before, look_at(draw.world), CACHES)
        draw.expect("check", *run_command(["check", "none"]), ends=(0,))

    with pytest.raises(AssertionError) as caught:
        each("lost", 1, template, world, lose)
    told = str(caught.value)
    assert "of lost: \nchanged or removed: work/notes.txt\nadded: home/more\ncheck ended with 2:\n" in told
    assert told.endswith("config:\nb'models: {}'")


def test_nothing_hostile_ends_in_a_traceback_when_it_is_checked_and_read(template, world):
    outcomes = each("check", 2000, template, world, _check)
    assert outcomes["check 0"] > 0 < outcomes["check 2"]


def _check(draw: Draw) -> None:
    draw.prepare()
    before = look_at(draw.world)
    with at_most(SECONDS):
        if draw.expect("check", *run_command(["check", CONFIG])):
            graph = load_graph([Path(CONFIG)])
            for name in graph.datasets:
                if has_small_data(graph, name):
                    draw.expect("read", *read_dataset(graph, name))
    draw.faults += changes(before, look_at(draw.world), CACHES)


def test_no_command_line_ends_in_a_traceback_or_loses_a_file(template, world):
    each("commands", 300, template, world, _command)


def _command(draw: Draw) -> None:
    draw.prepare(("nothing", "config", "files", "folder"))
    left = [draw.place(folder) for folder in leave_artifacts(draw.rng, Path("results"))]
    arguments = hostile_arguments(draw.rng)
    draw.told.append(repr(arguments))
    before = {name: seen for name, seen in look_at(draw.world).items() if not is_below(name, left)}
    with at_most(SECONDS):
        draw.expect(arguments[0][:20], *run_command(arguments))
    draw.faults += changes(before, look_at(draw.world), (*CACHES, *left, *_outputs(draw, arguments)))


def _outputs(draw: Draw, arguments: list[str]) -> list[str]:
    """Return the folders that `kdpipe shrink` may write."""
    given = [value for option, value in pairwise(arguments) if option == "--output"]
    given += [word.partition("=")[2] for word in arguments if word.startswith("--output=")]
    return [draw.place(Path(folder)) for folder in [*given, "shrunk"]]
