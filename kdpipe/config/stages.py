"""The stages that make a model, with the settings of each."""

from kdpipe.config.settings.base import StageSettings
from kdpipe.config.settings.create import CreateSettings
from kdpipe.config.settings.distill import DistillSettings
from kdpipe.config.settings.extract import ExtractSettings
from kdpipe.config.settings.finetune import FinetuneSettings
from kdpipe.config.settings.load import LoadSettings
from kdpipe.config.settings.pretrain import PretrainSettings
from kdpipe.config.settings.prune import PruneSettings
from kdpipe.config.settings.schedule import ScheduleSettings
from kdpipe.config.settings.select import SelectSettings

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
