"""Draws: a seed and a number give a user's folders, in which a test looks for faults.

KDPIPE_FUZZ_SEED=3 KDPIPE_FUZZ_DRAWS=10 make test-slow    other draws, and ten times as many
KDPIPE_FUZZ_ONLY=3:1234 make test-slow                    in each test, the draw of this seed and number alone
"""

import logging
import os
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.fuzz import configs, files, folders, texts
from tests.fuzz.runs import SlowError
from tests.fuzz.world import renew

LOG = logging.getLogger(__name__)
SEED = os.environ.get("KDPIPE_FUZZ_SEED", "1")
TIMES = float(os.environ.get("KDPIPE_FUZZ_DRAWS", "1"))
ONLY = os.environ.get("KDPIPE_FUZZ_ONLY")
CONFIG = "config.yaml"
# The parts of a draw that may be hostile. If the config is right, kdpipe reads more files and folders.
DRAWN = {"config": configs.wrong_config, "settings": configs.tuned_config}
KINDS = ("config",) * 4 + ("settings",) * 2 + ("text",) * 2 + ("files",) * 3 + ("folder",) * 3
# Here kdpipe keeps what the source of libraries declares, and Matplotlib keeps its list of fonts.
CACHES = ("home/.cache/kdpipe", "home/.cache/matplotlib", "home/.config/matplotlib")
MOST_FAULTS, MOST_TOLD = 5, 3000


@dataclass
class Draw:
    """A draw and its outcome.

    Args:
        rng: the source of all random choices.
        world: the folders, as new.
        template: the folder from which they are copied.
        outcomes: the commands, each with its exit status.
        faults: the faults that the draw shows.
        told: the hostile parts.
    """

    rng: Random
    world: Path
    template: Path
    outcomes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    @property
    def file(self) -> Path:
        """The config file."""
        return self.world / "work" / CONFIG

    def renew(self) -> None:
        """Make the folders anew, and go into the working folder."""
        renew(self.template, self.world)
        os.chdir(self.world / "work")
        self.told.clear()

    def prepare(self, kinds: tuple[str, ...] = KINDS) -> None:
        """Write the folders, with one or two hostile parts."""
        self.renew()
        hostile = {self.rng.choice(kinds) for _ in range(self.rng.choice((1, 1, 1, 2)))}
        self.told += sorted(hostile & {*DRAWN, "text"})
        text = self._config_for(hostile)
        self.file.write_bytes(texts.odd_text(self.rng, text) if "text" in hostile else text)
        if "text" in hostile and self.rng.random() < 0.05:
            files.replace_by_other(self.rng, self.file)
        if "files" in hostile:
            self.told.append(files.spoil_file(self.rng, self._read_of("data", text)))
        if "folder" in hostile:
            self.told.append(folders.spoil_folder(self.rng, self._read_of("models", text)))

    def _config_for(self, hostile: Collection[str]) -> bytes:
        """Return a config as text; if the folder of a model is hostile, the config loads a folder."""
        draw = next((DRAWN[kind] for kind in DRAWN if kind in hostile), configs.right_config)
        while True:
            text = texts.plain_text(self.rng, draw(self.rng))
            if "folder" not in hostile or b"../models/" in text:
                return text

    def _read_of(self, folder: str, text: bytes) -> Path:
        """Return a file or folder of a folder, if possible one that the config names."""
        found = sorted(path for path in (self.world / folder).iterdir() if path.is_dir() or path.is_file())
        return self.rng.choice([path for path in found if path.name.encode() in text] or found)

    def place(self, path: Path) -> str:
        """Return the end of a path, links followed, relative to the folders."""
        return os.path.relpath(os.path.realpath(path), os.path.realpath(self.world))

    def expect(self, what: str, status: int, text: str, ends: tuple[int, ...] = (0, 2)) -> bool:
        """Note the exit status of a command; tell whether it is 0."""
        self.outcomes.append(f"{what} {status}")
        LOG.debug("%s (%s): %s", self.outcomes[-1], ", ".join(self.told), text[-500:])
        silent = status == 2 and not text.strip()
        longest = max(map(len, text.splitlines()), default=0) if status == 2 else 0
        if status not in ends or "Traceback" in text or silent:
            self.faults.append(f"{what} ended with {status}:\n{text[-4000:]}")
        if longest > MOST_TOLD:
            self.faults.append(f"{what} told a line of {longest} characters:\n{text[:1000]}")
        return status == 0


def each(name: str, count: int, template: Path, world: Path, run: Callable[[Draw], None]) -> Counter[str]:
    """Run draws, each in a new working folder; return the number of each outcome."""
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    for seed, number in _numbers(count):
        draw = Draw(Random(f"{seed} {name} {number}"), world, template)
        with chdir(world.parent):
            try:
                run(draw)
            except (Exception, SlowError):
                draw.faults.append(traceback.format_exc())
        outcomes.update(draw.outcomes)
        if draw.faults:
            head = f"draw {seed}:{number} of {name}: {', '.join(draw.told)}"
            faults.append("\n".join([head, *draw.faults, _shown(draw)]))
    LOG.info("%s: %s", name, dict(outcomes.most_common()))
    assert not faults, f"{len(faults)} draws went wrong\n" + "\n\n".join(faults[:MOST_FAULTS])
    return outcomes


def _numbers(count: int) -> Iterator[tuple[str, int]]:
    if ONLY:
        seed, _, number = ONLY.rpartition(":")
        yield seed, int(number)
    else:
        yield from ((SEED, number) for number in range(round(count * TIMES)))


def _shown(draw: Draw) -> str:
    try:
        return f"config:\n{draw.file.read_bytes()[:3000]!r}" if draw.file.is_file() else "config: no file"
    except OSError as error:
        return f"config: {error}"
