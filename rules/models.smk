# Models that are made without training: loaded, drawn at random, cut out of others, chosen among others.


rule load:
    output:
        files(LAYOUT.model("{model}"), *MODEL_FILES),
    log:
        f"{LOGS}/load/{{model}}.log",
    wildcard_constraints:
        model=made_by("load"),
    params:
        settings=settings,
        output=folder,
        threads=1,
    shell:
        "unset HF_HUB_OFFLINE; python -m kdpipe.stages.load --settings {params.settings:q} --output {params.output:q} "
        + JOB


rule create:
    input:
        tokenizer=model("tokenizer"),
    output:
        files(LAYOUT.model("{model}"), *MODEL_FILES),
    log:
        f"{LOGS}/create/{{model}}.log",
    wildcard_constraints:
        model=made_by("create"),
    params:
        settings=settings,
        output=folder,
        inputs=arguments,
        threads=1,
    shell:
        "python -m kdpipe.stages.create --settings {params.settings:q} {params.inputs} --output {params.output:q} "
        + JOB


rule extract:
    input:
        model=model("model"),
    output:
        files(LAYOUT.model("{model}"), *MODEL_FILES),
    log:
        f"{LOGS}/extract/{{model}}.log",
    wildcard_constraints:
        model=made_by("extract"),
    params:
        settings=settings,
        output=folder,
        inputs=arguments,
        threads=1,
    shell:
        "python -m kdpipe.stages.extract --settings {params.settings:q} {params.inputs} --output {params.output:q} "
        + JOB


rule select:
    input:
        models=lambda wildcards: [done(LAYOUT.model(name)) for name in node(wildcards).among],
        evaluations=lambda wildcards: [
            done(LAYOUT.evaluation(name, node(wildcards).dataset))
            for name in node(wildcards).among
        ],
        data=own_data,
    output:
        files(LAYOUT.model("{model}"), *MODEL_FILES),
    log:
        f"{LOGS}/select/{{model}}.log",
    wildcard_constraints:
        model=made_by("select"),
    params:
        settings=settings,
        output=folder,
        inputs=arguments,
        threads=1,
    shell:
        "python -m kdpipe.stages.select --settings {params.settings:q} {params.inputs} --output {params.output:q} "
        + JOB


rule prune:
    input:
        model=model("model"),
        importance=own_importance,
    output:
        files(LAYOUT.model("{model}"), *MODEL_FILES),
    log:
        f"{LOGS}/prune/{{model}}.log",
    wildcard_constraints:
        model=made_by("prune"),
    params:
        settings=settings,
        output=folder,
        inputs=arguments,
        threads=1,
    shell:
        "python -m kdpipe.stages.prune --settings {params.settings:q} {params.inputs} --output {params.output:q} "
        + JOB
