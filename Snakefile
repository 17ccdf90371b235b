# The workflow: a config names models and the stage that makes each (README.md); these rules run the stages. It needs a
# config and its data, and gives models, their scores and a report, in the folder `results` of the config.
# Start it with `snakemake --cores 2`; `--configfile FILE` takes another config than config.yaml.


include: "rules/parts.smk"


rule all:
    default_target: True
    input:
        every_result(),
    localrule: True
