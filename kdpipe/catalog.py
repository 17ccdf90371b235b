"""Every name that a config may use for a piece of code, as "module:Object"; imports nothing heavy.

Adding a loss, source, task or model family is one file and one line here. The options a config may give
to an entry are the parameters of its constructor, read from its source (`kdpipe.config.signatures`), so
that checking a config needs neither torch nor transformers.
"""

from importlib import import_module
from typing import Any

from kdpipe.errors import KdpipeError, suggest

LOSSES = {
    "cosine": "kdpipe.losses.cosine:CosineLoss",
    "hard": "kdpipe.losses.hard:HardLoss",
    "hidden_mse": "kdpipe.losses.hidden_mse:HiddenMSELoss",
    "kl": "kdpipe.losses.kl:KLLoss",
    "logit_mse": "kdpipe.losses.logit_mse:LogitMSELoss",
    "soft_cross_entropy": "kdpipe.losses.soft_cross_entropy:SoftCrossEntropyLoss",
}

SOURCES = {
    "glue": "kdpipe.data.sources.glue:GlueSource",
    "pydoc": "kdpipe.data.sources.pydoc:PydocSource",
    "squad": "kdpipe.data.sources.squad:SquadSource",
    "text": "kdpipe.data.sources.text:TextSource",
}

TASKS = {
    "classification": "kdpipe.evaluation.tasks.classification:Classification",
    "language_modeling": "kdpipe.evaluation.tasks.language_modeling:LanguageModeling",
    "question_answering": "kdpipe.evaluation.tasks.question_answering:QuestionAnswering",
}

FAMILIES = {
    "bert": "kdpipe.models.families.bert:Bert",
    "distilbert": "kdpipe.models.families.distilbert:DistilBert",
}

LOWER_IS_BETTER = ("cross_entropy", "loss", "perplexity")

STAGES = {
    "load": "kdpipe.stages.load",
    "create": "kdpipe.stages.create",
    "pretrain": "kdpipe.stages.pretrain",
    "extract": "kdpipe.stages.extract",
    "finetune": "kdpipe.stages.finetune",
    "distill": "kdpipe.stages.distill",
    "select": "kdpipe.stages.select",
    "preprocess": "kdpipe.stages.preprocess",
    "count_tokens": "kdpipe.stages.count_tokens",
    "cache_teacher": "kdpipe.stages.cache_teacher",
    "evaluate": "kdpipe.stages.evaluate",
    "report": "kdpipe.stages.report",
}

KINDS = {
    "losses": LOSSES,
    "sources": SOURCES,
    "tasks": TASKS,
    "families": FAMILIES,
    "stages": STAGES,
}


def resolve(kind: str, name: str) -> Any:
    """Import the object that a catalog name stands for.

    Args:
        kind: a key of `KINDS`, such as `losses`.
        name: an entry of that kind, such as `kl`.

    Raises:
        KdpipeError: there is no such entry.
    """
    entries = KINDS[kind]
    if name not in entries:
        raise KdpipeError(f"{kind}: {name!r} is not known; {suggest(name, entries)}")
    module, _, attribute = entries[name].partition(":")
    return getattr(import_module(module), attribute) if attribute else import_module(module)
