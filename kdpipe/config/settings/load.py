"""`load`: a model from a directory, an installed package or the Hub."""

from pydantic import Field

from kdpipe.config.settings.base import StageSettings, Unavailable


class LoadSettings(StageSettings):
    """A model that exists already.

    Args:
        path: a directory, `package:IMPORT_NAME/SUBDIR` of an installed package, or a Hub repository.
        revision: commit, tag or branch of a Hub repository.
        sha256: digest that `model.safetensors` must have.
    """

    path: str
    revision: str | None = None
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    labels: Unavailable = None
