"""The page `docs/reference.md`: every setting of a config."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from kdpipe import catalog
from kdpipe.commands.describe import describable, setting_rows, summary_of
from kdpipe.config.document import Document
from kdpipe.config.settings.augmentation import AugmentationSettings, LabelSettings
from kdpipe.config.settings.base import StageSettings
from kdpipe.config.settings.dataset import CombineSettings, SourceSettings
from kdpipe.config.settings.importance import ImportanceSettings
from kdpipe.config.settings.interchange import InterchangeSettings, PairSettings, SiteSettings
from kdpipe.config.settings.knowledge import KnowledgeSettings
from kdpipe.config.settings.losses import ProjectionSettings, TermSettings
from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.config.settings.measure import LatencySettings, MeasureSettings
from kdpipe.config.settings.presets import PRESETS
from kdpipe.config.settings.report import ReportSettings
from kdpipe.config.settings.schedules import TemperatureSettings, WeightSettings
from kdpipe.declarations import constants
from kdpipe.plan.model_stage import model_stages

HEADER = """# Every setting

`make reference` writes this page from the docstrings of the settings. [What a config may say](config.md)
tells how settings work together, and `kdpipe describe NAME` prints a single table.
"""


def reference() -> str:
    """Return the page: a table for the whole config, and for each stage, source and loss."""
    names = describable()

    def known(entries: Mapping[str, object]) -> dict[str, type[BaseModel]]:
        return {f"`{name}`": names[name]() for name in entries}

    lines = [
        HEADER,
        "## The config\n",
        *_tables({"top level": Document, "`report`": ReportSettings}),
        *_tables({"`measure`": MeasureSettings, "`latency`": LatencySettings}),
        "## Stages\n\nEvery stage takes these settings:\n",
        *_rows(StageSettings),
        *_tables(known(model_stages()), StageSettings),
        "## Datasets\n\nEvery dataset that is read from a source takes these settings:\n",
        *_rows(SourceSettings),
        *_tables({"`combine`": CombineSettings, **known(catalog.SOURCES)}, SourceSettings),
        "## Augmentation\n\nWithin `augment` of a dataset, every method takes these settings:\n",
        *_rows(AugmentationSettings),
        *_tables(known(catalog.AUGMENTATIONS), AugmentationSettings),
        "## Losses\n",
        *_losses(),
        "Every loss term takes these settings:\n",
        *_rows(TermSettings),
        *_tables(known(catalog.LOSSES), TermSettings),
        "### Presets\n\nA `preset` stands for a term, which is the sum over its pairs.\n",
        *_presets(),
        "## Parts of stages and losses\n",
        *_tables({"`importance`": ImportanceSettings, "`labels`, a mapping": LabelSettings}),
        *_tables({"`masking`": MaskingSettings, "`projection`": ProjectionSettings}),
        *_tables({"`knowledge`": KnowledgeSettings}),
        *_tables({"`interchange`": InterchangeSettings, "`alignment`, a pair": PairSettings}),
        *_tables({"`teacher` and `student` of a pair": SiteSettings}),
        *_tables({"`weight`, a mapping": WeightSettings, "`temperature`, a mapping": TemperatureSettings}),
    ]
    return "\n".join(lines).rstrip()


def _losses() -> Iterator[str]:
    """Yield a table of what each loss compares."""
    yield "| loss | reads of the student | reads of the teacher | averaged over |\n|---|---|---|---|"
    for name, target in catalog.LOSSES.items():
        declared = constants(target)
        kinds = (", ".join(declared[side]) or "labels" for side in ("student_kinds", "teacher_kinds"))
        yield f"| [`{name}`](#{name}) | {' | '.join(kinds)} | {declared['averaged_over']} |"
    yield ""


def _presets() -> Iterator[str]:
    yield "| preset | stands for |\n|---|---|"
    for name, term in PRESETS.items():
        said = ", ".join(f"{key}: {value}" for key, value in term.items() if key != "projection")
        yield f"| `{name}` | {said}{', projection: linear' if 'projection' in term else ''} |"
    yield ""


def _tables(sections: Mapping[str, type[BaseModel]], base: type[BaseModel] | None = None) -> Iterator[str]:
    """Yield a heading, a summary and a table for each section, without the settings of a common base."""
    for name, settings in sections.items():
        yield f"### {name}\n\n{summary_of(settings)}\n"
        yield from _rows(settings, base)


def _rows(settings: type[BaseModel], base: type[BaseModel] | None = None) -> Iterator[str]:
    shared = base.model_fields if base else {}
    rows = [row for row in setting_rows(settings) if row[0] not in shared]
    if rows:
        yield "| setting | default | meaning |\n|---|---|---|"
        yield from (f"| `{setting}` | {default} | {meaning} |" for setting, default, meaning in rows)
        yield ""


if __name__ == "__main__":
    print(reference())
