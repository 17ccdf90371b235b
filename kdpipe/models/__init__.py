"""Models; an import of this package registers our own architectures with transformers."""

from kdpipe.models import bigru, enct5, int8, pruned

__all__ = ["bigru", "enct5", "int8", "pruned"]
