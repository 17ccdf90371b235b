"""Command lines as hands and scripts mistype them."""

from random import Random

from tests.fuzz.values import HOSTILE, PLACES
from tests.fuzz.world import USER_FILES

CONFIG = "config.yaml"
# Texts that an operating system can hand to a program.
WORDS = [word for word in HOSTILE if isinstance(word, str) and "\0" not in word and word != "\ud800"]
NAMES = (
    "teacher",
    "base",
    "student",
    "{task}-16-1",
    "one-16-1",
    "distill",
    "glue",
    "losses",
    "importance",
    "stages",
)
OPTIONS = (
    "--yes",
    "--mermaid",
    "--output",
    "--value",
    "--value=task=one",
    "--value==",
    "--depth=2",
    "--depth=two",
    "--output=",
    "--",
    "--help",
)
COMMANDS = ("check", "graph", "why", "clean", "shrink", "describe", "list", "schema")


def hostile_arguments(rng: Random) -> list[str]:
    """Return the arguments of a command; its required arguments are mostly right."""
    command = rng.choice((*COMMANDS, *COMMANDS, rng.choice(WORDS)))
    arguments = [command]
    if command in ("why", "describe", "list"):
        arguments.append(rng.choice((*NAMES, rng.choice(WORDS))))
    if command not in ("describe", "list", "schema"):
        arguments += [CONFIG] * rng.choice((1, 1, 1, 2))
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        arguments += rng.choice((_option(rng), [rng.choice((*WORDS, *PLACES, *USER_FILES, "../data"))]))
    return arguments


def _option(rng: Random) -> list[str]:
    option = rng.choice(OPTIONS)
    value = rng.choice((*WORDS, *PLACES, "small", "task=two", "length=16", "task=none", "x=1"))
    return [option, value] if option in ("--output", "--value") else [option]
