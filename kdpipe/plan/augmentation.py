"""Whether a dataset can be augmented, and what a model can label."""

from kdpipe.anatomy.families import HEAD_TASKS, LANGUAGE_MODELING, ONE_SEGMENT, family_facts
from kdpipe.config.mistakes import SettingError
from kdpipe.config.settings.augmentation import AugmentationSettings, ModelAugmentationSettings
from kdpipe.config.settings.dataset import SourceSettings, has_pairs, tasks_of
from kdpipe.plan.entries import Dataset, Facts
from kdpipe.plan.model_stage import Known

SENTENCE_TASKS = HEAD_TASKS["ForSequenceClassification"]
KINDS = f"{', '.join(SENTENCE_TASKS[:-1])} and {SENTENCE_TASKS[-1]}"


def check_augmentation(augment: AugmentationSettings, base: Dataset, known: Known) -> None:
    """Raise SettingError if no copies of a dataset's examples can be made."""
    if base.task not in SENTENCE_TASKS:
        what = f"{base.name!r} is for {base.task}; examples of {KINDS} are augmented"
        raise SettingError("augment.dataset", what)
    if base.augmentation:
        what = f"{base.name!r} has copies already; augment {base.augmentation.dataset!r}"
        raise SettingError("augment.dataset", what)
    if isinstance(augment, ModelAugmentationSettings):
        _check_predicts(augment.model, known.facts[augment.model])


def _check_predicts(model: str, facts: Facts) -> None:
    """Raise SettingError if a model predicts no masked tokens, as far as the config tells."""
    needed = f"{model!r} must have a head for masked language modelling, found"
    if facts.tasks is not None and LANGUAGE_MODELING not in facts.tasks:
        raise SettingError("augment.model", f"{needed} {facts.described}; name the pretrained model itself")
    if facts.shape.family and "ForMaskedLM" not in family_facts(facts.shape.family)["heads"]:
        raise SettingError("augment.model", f"{needed} a {facts.shape.family}; take a model such as a BERT")


def labelled_task(settings: SourceSettings, facts: Facts) -> str:
    """Return the task of a dataset whose labels a model gives.

    Args:
        settings: the dataset's settings.
        facts: what is known of the model.

    Raises:
        SettingError: the model has no head for sentences, the source has other examples, or the config does
            not show the task.
    """
    labeller, wanted = settings.labeller, settings.task
    assert labeller is not None
    if has_pairs(settings) and facts.shape.segments == 1 and facts.pair_segments > 1:
        what = f"the source has pairs of texts, but {labeller.model!r} {ONE_SEGMENT}"
        raise SettingError("labels.from", what)
    known = SENTENCE_TASKS if facts.tasks is None else facts.tasks
    offered = [task for task in known if task in SENTENCE_TASKS]
    if not offered:
        what = f"{labeller.model!r} has {facts.described}; a model with one head labels for {KINDS}"
        raise SettingError("labels.from", what)
    if wanted is None and len(offered) > 1:
        what = f"is required, as the head of {labeller.model!r} may be for {' or '.join(offered)}"
        raise SettingError("task", what)
    task = wanted or offered[0]
    if task not in offered:
        what = f"the head of {labeller.model!r} is for {' or '.join(offered)}, found {task!r}; remove this"
        raise SettingError("task", what)
    if not {task, LANGUAGE_MODELING} & {*tasks_of(settings)}:
        what = f"{labeller.model!r} labels for {task}, but the source has examples of"
        raise SettingError("labels.from", f"{what} {', '.join(tasks_of(settings))}")
    if labeller.confidence is not None and task != "classification":
        raise SettingError("labels.confidence", f"is for classification; {task} has none, so remove this")
    return task
