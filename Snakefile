# The workflow: a config names models and how each is made (README.md); these rules make them.
# Start with `snakemake --cores 2`, or with `--configfile FILE` for another config than config.yaml.


include: "rules/common.smk"
include: "rules/stage.smk"
include: "rules/data.smk"
include: "rules/models.smk"
include: "rules/training.smk"
include: "rules/results.smk"


# Naming every node here keeps one whose job failed on the list of what is to be done.
rule all:
    default_target: True
    input:
        [done(LAYOUT.model(name)) for name in GRAPH.nodes],
        [done(LAYOUT.evaluation(*pair)) for pair in GRAPH.evaluations],
        [done(LAYOUT.export(*pair)) for pair in GRAPH.exports],
        done(LAYOUT.report),
    localrule: True
