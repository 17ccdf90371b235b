"""Importing this package tells transformers of the architectures that it has not itself."""

from kdpipe.models import bigru, enct5, pruned

__all__ = ["bigru", "enct5", "pruned"]
