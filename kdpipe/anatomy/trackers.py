"""The trackers that may show a training; each is a package of this name, and an extra of kdpipe."""

NONE = "none"
TRACKERS = ("tensorboard", "wandb", "mlflow", "trackio")


def not_installed(tracker: str) -> str:
    """Return that a tracker is missing, and what to do."""
    return f"the package {tracker!r} is not installed; install `kdpipe[{tracker}]`"
