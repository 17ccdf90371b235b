# Models that are trained, and the teacher's signals that they learn from.


rule pretrain:
    input:
        unpack(inputs("pretrain")),
    output:
        files(LAYOUT.model("{model}"), *MODEL_FILES, "history.parquet"),
    log:
        f"{LOGS}/pretrain/{{model}}.log",
    wildcard_constraints:
        model=made_by("pretrain"),
    threads: THREADS
    resources:
        mem_mb=memory("pretrain"),
        runtime=runtime("pretrain"),
        gpu=GPUS,
        nodes=1,
    params:
        settings=settings("pretrain"),
        code=code("pretrain"),
        output=folder,
        inputs=arguments,
        threads=THREADS,
    shell:
        TRAIN


rule finetune:
    input:
        unpack(inputs("finetune")),
    output:
        files(LAYOUT.model("{model}"), *MODEL_FILES, "history.parquet"),
    log:
        f"{LOGS}/finetune/{{model}}.log",
    wildcard_constraints:
        model=made_by("finetune"),
    group:
        group
    threads: THREADS
    resources:
        mem_mb=memory("finetune"),
        runtime=runtime("finetune"),
        gpu=GPUS,
        nodes=1,
    params:
        settings=settings("finetune"),
        code=code("finetune"),
        output=folder,
        inputs=arguments,
        threads=THREADS,
    shell:
        TRAIN


rule score_importance:
    input:
        unpack(inputs("score_importance")),
    output:
        files(LAYOUT.importance("{scored}", "{dataset}", "{key}"), "scores.parquet"),
    log:
        f"{LOGS}/score_importance/{{scored}}/{{dataset}}/{{key}}.log",
    threads: THREADS
    resources:
        mem_mb=memory("score_importance"),
        runtime=runtime("score_importance"),
        gpu=min(1, GPUS),
    params:
        settings=settings("score_importance"),
        code=code("score_importance"),
        output=folder,
        inputs=arguments,
        threads=THREADS,
    shell:
        RUN


rule cache_teacher:
    input:
        unpack(inputs("cache_teacher")),
    output:
        files(LAYOUT.knowledge("{teacher}", "{dataset}", "{key}"), "signals.arrow"),
    log:
        f"{LOGS}/cache_teacher/{{teacher}}/{{dataset}}/{{key}}.log",
    threads: THREADS
    resources:
        mem_mb=memory("cache_teacher"),
        runtime=runtime("cache_teacher"),
        gpu=min(1, GPUS),
    params:
        settings=settings("cache_teacher"),
        code=code("cache_teacher"),
        output=folder,
        inputs=arguments,
        threads=THREADS,
    shell:
        RUN + " --limit-gb {GRAPH.document.cache_limit_gb}"


rule distill:
    input:
        unpack(inputs("distill")),
    output:
        files(LAYOUT.model("{model}"), *MODEL_FILES, "history.parquet"),
    log:
        f"{LOGS}/distill/{{model}}.log",
    wildcard_constraints:
        model=made_by("distill"),
    group:
        group
    threads: THREADS
    resources:
        mem_mb=memory("distill"),
        runtime=runtime("distill"),
        gpu=GPUS,
        nodes=1,
    params:
        settings=settings("distill"),
        code=code("distill"),
        output=folder,
        inputs=arguments,
        threads=THREADS,
    shell:
        TRAIN


rule schedule:
    input:
        unpack(inputs("schedule")),
    output:
        files(LAYOUT.model("{model}"), *MODEL_FILES, "history.parquet", "candidates.parquet"),
    log:
        f"{LOGS}/schedule/{{model}}.log",
    wildcard_constraints:
        model=made_by("schedule"),
    group:
        group
    threads: THREADS
    resources:
        mem_mb=memory("schedule"),
        runtime=runtime("schedule"),
        gpu=GPUS,
        nodes=1,
    params:
        settings=settings("schedule"),
        code=code("schedule"),
        output=folder,
        inputs=arguments,
        threads=THREADS,
    shell:
        TRAIN
