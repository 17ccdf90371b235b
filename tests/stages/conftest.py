"""What the tests of stages share."""

from pathlib import Path

import pytest

from kdpipe.job import Job


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(output=tmp_path / "made", state=tmp_path / ".state")


def job_for(folder: Path) -> Job:
    """Return a job that makes a folder."""
    return Job(output=folder, state=folder.parent / ".state")
