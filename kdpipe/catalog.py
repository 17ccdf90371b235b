"""Every name that a config may use for a piece of code, as "module:Object"; imports nothing heavy.

Adding a loss, criterion, method, augmentation, source, task or model family is one file and one line here.
The options a config may give to an entry are the parameters of its constructor, read from its source
(`kdpipe.config.signatures`), so that checking a config needs neither torch nor transformers.
"""

from importlib import import_module
from typing import Any

from kdpipe.errors import KdpipeError, suggest

LOSSES = {
    "attention_ce": "kdpipe.losses.attention_ce:AttentionCELoss",
    "attention_mse": "kdpipe.losses.attention_mse:AttentionMSELoss",
    "cosine": "kdpipe.losses.cosine:CosineLoss",
    "emd": "kdpipe.losses.emd:EMDLoss",
    "gram": "kdpipe.losses.gram:GramLoss",
    "hard": "kdpipe.losses.hard:HardLoss",
    "hidden_mse": "kdpipe.losses.hidden_mse:HiddenMSELoss",
    "jsd": "kdpipe.losses.jsd:JSDLoss",
    "kl": "kdpipe.losses.kl:KLLoss",
    "logit_mse": "kdpipe.losses.logit_mse:LogitMSELoss",
    "mmd": "kdpipe.losses.mmd:MMDLoss",
    "pkd": "kdpipe.losses.pkd:PKDLoss",
    "relation": "kdpipe.losses.relation:RelationLoss",
    "reverse_kl": "kdpipe.losses.reverse_kl:ReverseKLLoss",
    "soft_cross_entropy": "kdpipe.losses.soft_cross_entropy:SoftCrossEntropyLoss",
    "tvd": "kdpipe.losses.tvd:TVDLoss",
}

CRITERIA = {
    "magnitude": "kdpipe.pruning.criteria.magnitude:Magnitude",
    "mask_gradient": "kdpipe.pruning.criteria.mask_gradient:MaskGradient",
    "random": "kdpipe.pruning.criteria.random:Random",
    "weight_gradient": "kdpipe.pruning.criteria.weight_gradient:WeightGradient",
}

METHODS = {
    "minidisc": "kdpipe.assistants.minidisc:MiniDisc",
}

AUGMENTATIONS = {
    "delete": "kdpipe.augmentation.delete:Delete",
    "long_disorder": "kdpipe.augmentation.long_disorder:LongDisorder",
    "mask": "kdpipe.augmentation.mask:Mask",
    "masked_lm": "kdpipe.augmentation.masked_lm:MaskedLM",
    "ngram": "kdpipe.augmentation.ngram:NGram",
    "short_disorder": "kdpipe.augmentation.short_disorder:ShortDisorder",
}

SOURCES = {
    "conll": "kdpipe.data.sources.conll:ConllSource",
    "glue": "kdpipe.data.sources.glue:GlueSource",
    "pydoc": "kdpipe.data.sources.pydoc:PydocSource",
    "squad": "kdpipe.data.sources.squad:SquadSource",
    "table": "kdpipe.data.sources.table:TableSource",
    "text": "kdpipe.data.sources.text:TextSource",
}

TASKS = {
    "classification": "kdpipe.evaluation.tasks.classification:Classification",
    "language_modeling": "kdpipe.evaluation.tasks.language_modeling:LanguageModeling",
    "multi_label": "kdpipe.evaluation.tasks.multi_label:MultiLabel",
    "question_answering": "kdpipe.evaluation.tasks.question_answering:QuestionAnswering",
    "regression": "kdpipe.evaluation.tasks.regression:Regression",
    "token_classification": "kdpipe.evaluation.tasks.token_classification:TokenClassification",
}

# By the `model_type` of their configs; a checkpoint of T5 becomes an EncT5.
FAMILIES = {
    "bert": "kdpipe.models.families.bert:Bert",
    "bigru": "kdpipe.models.families.bigru:BiGRU",
    "distilbert": "kdpipe.models.families.distilbert:DistilBert",
    "electra": "kdpipe.models.families.electra:Electra",
    "enct5": "kdpipe.models.families.t5:T5",
    "gpt2": "kdpipe.models.families.gpt2:GPT2",
    "roberta": "kdpipe.models.families.roberta:Roberta",
    "t5": "kdpipe.models.families.t5:T5",
}

# The definition of each stage for the workflow; its code is `kdpipe.stages.NAME`.
STAGES = {
    "load": "kdpipe.plan.stages.load:Load",
    "create": "kdpipe.plan.stages.create:Create",
    "pretrain": "kdpipe.plan.stages.pretrain:Pretrain",
    "extract": "kdpipe.plan.stages.extract:Extract",
    "finetune": "kdpipe.plan.stages.finetune:Finetune",
    "distill": "kdpipe.plan.stages.distill:Distill",
    "select": "kdpipe.plan.stages.select:Select",
    "prune": "kdpipe.plan.stages.prune:Prune",
    "schedule": "kdpipe.plan.stages.schedule:Schedule",
    "quantize": "kdpipe.plan.stages.quantize:Quantize",
    "fetch": "kdpipe.plan.stages.fetch:Fetch",
    "augment": "kdpipe.plan.stages.augment:Augment",
    "preprocess": "kdpipe.plan.stages.preprocess:Preprocess",
    "count_tokens": "kdpipe.plan.stages.count_tokens:CountTokens",
    "score_importance": "kdpipe.plan.stages.score_importance:ScoreImportance",
    "cache_teacher": "kdpipe.plan.stages.cache_teacher:CacheTeacher",
    "export": "kdpipe.plan.stages.export:Export",
    "evaluate": "kdpipe.plan.stages.evaluate:Evaluate",
    "submit": "kdpipe.plan.stages.submit:Submit",
    "measure": "kdpipe.plan.stages.measure:Measure",
    "report": "kdpipe.plan.stages.report:Report",
    "card": "kdpipe.plan.stages.card:Card",
}

# What may show a training, each by the name of an extra.
TRACKERS = {
    "tensorboard": "kdpipe.runner.trackers:TensorBoard",
    "wandb": "kdpipe.runner.trackers:WeightsAndBiases",
    "mlflow": "kdpipe.runner.trackers:MLflow",
    "trackio": "kdpipe.runner.trackers:Trackio",
}
KINDS = {
    "losses": LOSSES,
    "criteria": CRITERIA,
    "methods": METHODS,
    "augmentations": AUGMENTATIONS,
    "sources": SOURCES,
    "tasks": TASKS,
    "families": FAMILIES,
    "stages": STAGES,
    "trackers": TRACKERS,
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
    return load(entries[name])


def load(target: str) -> Any:
    """Import what "module:Object" or "module" names."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute) if attribute else import_module(module)
