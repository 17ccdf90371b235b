# Stages that make a model without training. They need other models, and scores of units or of models. They give models
# whose weights are loaded, drawn, cut or chosen (models/).


use rule stage as load with:
    input:
        files=read_files,
    output:
        model_files(),
    log:
        log_of("load", "{model}"),
    wildcard_constraints:
        model=RULES.made_by("load"),
    localrule: True
    params:
        network="unset HF_HUB_OFFLINE",


use rule stage as select with:
    input:
        models=read("models"),
        evaluations=read("evaluations"),
        exports=read("exports"),
        measurements=read("measurements"),
        reference=read("reference"),
        data=read("data"),
    output:
        model_files(),
    log:
        log_of("select", "{model}"),
    wildcard_constraints:
        model=RULES.made_by("select"),
    resources:
        mem_mb=RULES.memory,
        runtime=RULES.runtime,


use rule select as quantize with:
    input:
        model=read("model"),
        data=read("data"),
    output:
        model_files(),
    log:
        log_of("quantize", "{model}"),
    wildcard_constraints:
        model=RULES.made_by("quantize"),


use rule select as create with:
    input:
        tokenizer=read("tokenizer"),
    output:
        model_files(),
    log:
        log_of("create", "{model}"),
    wildcard_constraints:
        model=RULES.made_by("create"),
    group:
        RULES.group


use rule create as extract with:
    input:
        model=read("model"),
    output:
        model_files(),
    log:
        log_of("extract", "{model}"),
    wildcard_constraints:
        model=RULES.made_by("extract"),


use rule create as prune with:
    input:
        model=read("model"),
        importance=read("importance"),
    output:
        model_files(),
    log:
        log_of("prune", "{model}"),
    wildcard_constraints:
        model=RULES.made_by("prune"),
