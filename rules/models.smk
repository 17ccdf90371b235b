# Models that are made without training: loaded, drawn at random, cut out of others, chosen among others.


rule load:
    input:
        unpack(inputs("load")),
    output:
        files(LAYOUT.model("{model}"), *MODEL_FILES),
    log:
        f"{LOGS}/load/{{model}}.log",
    wildcard_constraints:
        model=made_by("load"),
    params:
        settings=settings("load"),
        code=code("load"),
        output=folder,
        inputs=arguments,
        threads=1,
    shell:
        ONLINE + RUN


rule create:
    input:
        unpack(inputs("create")),
    output:
        files(LAYOUT.model("{model}"), *MODEL_FILES),
    log:
        f"{LOGS}/create/{{model}}.log",
    wildcard_constraints:
        model=made_by("create"),
    group:
        group
    resources:
        mem_mb=memory("create"),
        runtime=runtime("create"),
    params:
        settings=settings("create"),
        code=code("create"),
        output=folder,
        inputs=arguments,
        threads=1,
    shell:
        RUN


rule extract:
    input:
        unpack(inputs("extract")),
    output:
        files(LAYOUT.model("{model}"), *MODEL_FILES),
    log:
        f"{LOGS}/extract/{{model}}.log",
    wildcard_constraints:
        model=made_by("extract"),
    group:
        group
    resources:
        mem_mb=memory("extract"),
        runtime=runtime("extract"),
    params:
        settings=settings("extract"),
        code=code("extract"),
        output=folder,
        inputs=arguments,
        threads=1,
    shell:
        RUN


rule select:
    input:
        unpack(inputs("select")),
    output:
        files(LAYOUT.model("{model}"), *MODEL_FILES),
    log:
        f"{LOGS}/select/{{model}}.log",
    wildcard_constraints:
        model=made_by("select"),
    resources:
        mem_mb=memory("select"),
        runtime=runtime("select"),
    params:
        settings=settings("select"),
        code=code("select"),
        output=folder,
        inputs=arguments,
        threads=1,
    shell:
        RUN


rule prune:
    input:
        unpack(inputs("prune")),
    output:
        files(LAYOUT.model("{model}"), *MODEL_FILES),
    log:
        f"{LOGS}/prune/{{model}}.log",
    wildcard_constraints:
        model=made_by("prune"),
    group:
        group
    resources:
        mem_mb=memory("prune"),
        runtime=runtime("prune"),
    params:
        settings=settings("prune"),
        code=code("prune"),
        output=folder,
        inputs=arguments,
        threads=1,
    shell:
        RUN
