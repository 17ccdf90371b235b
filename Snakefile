# The workflow: a config names models and the stage that makes each (README.md); these rules run the stages. It needs a
# config and its data, and gives models, their scores and a report, in the folder `results` of the config.
# Start it with `snakemake --cores 2`; `--configfile FILE` takes another config than config.yaml.


include: "rules/common.smk"
include: "rules/stage.smk"
include: "rules/data.smk"
include: "rules/models.smk"
include: "rules/training.smk"
include: "rules/results.smk"


# This rule names every node, so that Snakemake still lists a node whose job has failed.
rule all:
    default_target: True
    input:
        [done(LAYOUT.model(name)) for name in GRAPH.nodes],
        [done(LAYOUT.evaluation(*pair)) for pair in GRAPH.evaluations],
        [done(LAYOUT.export(*pair)) for pair in GRAPH.exports],
        done(LAYOUT.report),
    localrule: True
