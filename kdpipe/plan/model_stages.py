"""The stages that make a model, with the settings of each."""

from kdpipe.config.settings.base import StageSettings
from kdpipe.plan.stages.create import CreateSettings
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.extract import ExtractSettings
from kdpipe.plan.stages.finetune import FinetuneSettings
from kdpipe.plan.stages.load import LoadSettings
from kdpipe.plan.stages.pretrain import PretrainSettings
from kdpipe.plan.stages.prune import PruneSettings
from kdpipe.plan.stages.schedule import ScheduleSettings
from kdpipe.plan.stages.select import SelectSettings

MODEL_STAGES: dict[str, type[StageSettings]] = {
    "load": LoadSettings,
    "create": CreateSettings,
    "pretrain": PretrainSettings,
    "extract": ExtractSettings,
    "finetune": FinetuneSettings,
    "distill": DistillSettings,
    "select": SelectSettings,
    "prune": PruneSettings,
    "schedule": ScheduleSettings,
}
