"""The work that the server of processes does once: imports, and declarations read from source."""

import gc
from importlib import import_module

import snakemake.cli  # noqa: F401
from transformers.conversion_mapping import get_checkpoint_conversion_mapping

from kdpipe import catalog
from kdpipe.commands import invocation, rules  # noqa: F401
from kdpipe.commands.schema import config_schema
from kdpipe.plan.identity import code_of
from kdpipe.plan.stage import definition

modules = [definition(stage).module for stage in catalog.STAGES]
for module in modules:
    import_module(module)
for family in ("bert", "distilbert", "gpt2"):
    import_module(f"transformers.models.{family}.modeling_{family}")
    get_checkpoint_conversion_mapping(family)
code_of(modules)
config_schema()
gc.freeze()
