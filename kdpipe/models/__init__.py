"""Importing this package tells transformers of the architectures that it has not itself."""

from kdpipe.models import enct5

__all__ = ["enct5"]
