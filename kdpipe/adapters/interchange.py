"""What the settings of an interchange say, as the library takes it."""

from kdpipe.artifacts.sums import SUMS, file_digest
from kdpipe.config.settings.interchange import InterchangeSettings
from kdpipe.interchange.given import Intervention
from kdpipe.plan.stages.distill import DistillSettings


def intervention_of(settings: InterchangeSettings | None) -> Intervention | None:
    """Return the interchange intervention that settings ask for, if they do."""
    if settings is None:
        return None
    return Intervention(
        alignment=settings.sites,
        read=settings.read,
        positions=settings.positions,
        proportion=settings.proportion,
        max_tokens=settings.max_tokens,
        sources=settings.sources,
        swap=settings.swap,
    )


def file_digests(settings: DistillSettings) -> dict[str, str]:
    """Return the SHA-256 of the files that settings name: an alignment, and digests of stored signals."""
    alignment = settings.interchange.file if settings.interchange and settings.intervenes else None
    files = [alignment, settings.given and settings.given / SUMS]
    # The stage itself says that a file is missing.
    return {str(file): file_digest(file) for file in files if file and file.is_file()}
