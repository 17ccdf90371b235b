"""What the server that stages are forked off has done once: imports, and what is worked out of sources."""

import gc
from importlib import import_module

from transformers.conversion_mapping import get_checkpoint_conversion_mapping

from kdpipe import catalog
from kdpipe.commands.schema import config_schema
from kdpipe.plan.identity import code_of

for stage in catalog.STAGES:
    import_module(f"kdpipe.stages.{stage}")
for family in ("bert", "distilbert", "gpt2"):
    import_module(f"transformers.models.{family}.modeling_{family}")
    get_checkpoint_conversion_mapping(family)
code_of(list(catalog.STAGES.values()))
config_schema()
gc.freeze()
