"""Config files: configs as YAML or JSON, and texts that no program writes."""

import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import yaml

LINES = (
    "seed: 2024-02-30", "results: 2024-01-01", "seed: 0x_", "seed: 1:30", "seed: 010", "seed: !!set {a, b}",
    "report: !!python/object/apply:os.system [touch hacked]", "report: !!binary aGk=",
    "threads: 1\nthreads: 2",
    "report: {title: !x y}", "models: {a: {load: {path: x}}}", "datasets:\n\tx: 1", "report: {title: @x}",
    "models: &a {b: *a}", "matrix: &m [*m]", "defaults: *nothing", "<<: {seed: 1}", "<<: [1]", "? [a]\n: b",
    "--- \nseed: 1", "...", "%YAML 9.9", "on: 1", "null: 1", "1: 2", "{task}: 3", "report: {title: {x}}",
    "seed: " + "9" * 5000, "report: {title: " + "x" * 100_000 + "}", "matrix: " + "[" * 3000, "seed: .nan",
    "a: " + "{b: " * 3000, "x: &x [1, 1]\ny: &y [*x, *x]\nz: &z [*y, *y]",
    '"a\\0b": 1', 'report: {title: "\\ud800"}',
)  # fmt: skip
BYTES = (
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\0",
    b"\x80",
    b"\r",
    b"\t",
    b"\xc2\x85",
    b"\xed\xa0\x80",
    b"\x1b",
    b"]",
    b"'",
)
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))


def plain_text(rng: Random, config: Mapping[str, Any]) -> bytes:
    """Return a config as a program writes it."""
    if rng.random() < 0.4:
        return json.dumps(config, indent=rng.choice((None, 1)), ensure_ascii=rng.random() < 0.5).encode(
            errors="surrogatepass"
        )
    text: str = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=rng.random() < 0.5)
    return text.encode(errors="surrogatepass")


def odd_text(rng: Random, text: bytes) -> bytes:
    """Return the text of a config after an accident."""
    return rng.choice(ACCIDENTS)(rng, text)


def _add_line(rng: Random, text: bytes) -> bytes:
    lines = text.split(b"\n")
    lines.insert(rng.randint(0, len(lines)), rng.choice(LINES).encode(errors="surrogatepass"))
    return b"\n".join(lines)


def _add_bytes(rng: Random, text: bytes) -> bytes:
    place = rng.choice((0, rng.randint(0, len(text))))
    return text[:place] + rng.choice(BYTES) + text[place:]


def _cut(rng: Random, text: bytes) -> bytes:
    return text[: rng.randint(0, len(text))]


def _flip(rng: Random, text: bytes) -> bytes:
    flipped = bytearray(text)
    for _ in range(rng.randint(1, 3)):
        flipped[rng.randrange(len(flipped))] = rng.randrange(256)
    return bytes(flipped)


def _multiply(rng: Random, text: bytes) -> bytes:
    return rng.choice(
        (BOMB.encode() + text, text + b"\n" + text, b"[" * 20_000, b'{"a":' * 20_000, b"- " * 20_000)
    )


ACCIDENTS: tuple[Callable[[Random, bytes], bytes], ...] = (
    _add_line,
    _add_line,
    _add_bytes,
    _cut,
    _flip,
    _multiply,
)
