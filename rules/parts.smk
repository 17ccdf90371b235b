# The parts of the workflow.


include: "common.smk"
include: "stage.smk"
include: "data.smk"
include: "models.smk"
include: "training.smk"
include: "results.smk"
