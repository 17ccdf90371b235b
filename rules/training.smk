# Models that are trained, and the teacher's signals that they learn from.


rule pretrain:
    input:
        lambda wildcards: source_files(node(wildcards)),
    output:
        files(LAYOUT.model("{model}"), *MODEL_FILES, "history.parquet"),
    log:
        f"{LOGS}/pretrain/{{model}}.log",
    wildcard_constraints:
        model=made_by("pretrain"),
    threads: THREADS
    params:
        settings=settings,
        dataset=lambda wildcards: GRAPH.preprocess_settings(
            node(wildcards).dataset
        ).model_dump_json(),
        output=folder,
        threads=THREADS,
    shell:
        "python -m kdpipe.stages.pretrain --settings {params.settings:q} --dataset {params.dataset:q} "
        "--output {params.output:q} " + JOB


rule finetune:
    input:
        model=model("model"),
        data=own_data,
        counts=own_counts,
    output:
        files(LAYOUT.model("{model}"), *MODEL_FILES, "history.parquet"),
    log:
        f"{LOGS}/finetune/{{model}}.log",
    wildcard_constraints:
        model=made_by("finetune"),
    group:
        training_job
    threads: THREADS
    params:
        settings=settings,
        output=folder,
        inputs=arguments,
        threads=THREADS,
    shell:
        "python -m kdpipe.stages.finetune --settings {params.settings:q} {params.inputs} --output {params.output:q} "
        + JOB


rule score_importance:
    input:
        model=lambda wildcards: done(LAYOUT.model(wildcards.scored)),
        data=lambda wildcards: encoded(wildcards.dataset, wildcards.scored),
    output:
        files(LAYOUT.importance("{scored}", "{dataset}", "{key}"), "scores.parquet"),
    log:
        f"{LOGS}/score_importance/{{scored}}/{{dataset}}/{{key}}.log",
    threads: THREADS
    params:
        settings=lambda wildcards: GRAPH.importances[tuple(wildcards)].model_dump_json(),
        output=folder,
        inputs=arguments,
        threads=THREADS,
    shell:
        "python -m kdpipe.stages.score_importance --settings {params.settings:q} {params.inputs} "
        "--output {params.output:q} " + JOB


rule cache_teacher:
    input:
        teacher=lambda wildcards: done(LAYOUT.model(wildcards.teacher)),
        data=lambda wildcards: encoded(wildcards.dataset, wildcards.teacher),
    output:
        files(LAYOUT.knowledge("{teacher}", "{dataset}", "{key}"), "signals.arrow"),
    log:
        f"{LOGS}/cache_teacher/{{teacher}}/{{dataset}}/{{key}}.log",
    threads: THREADS
    params:
        settings=lambda wildcards: GRAPH.caches[tuple(wildcards)].model_dump_json(),
        output=folder,
        inputs=arguments,
        threads=THREADS,
    shell:
        "python -m kdpipe.stages.cache_teacher --settings {params.settings:q} {params.inputs} "
        "--output {params.output:q} --limit-gb {GRAPH.document.cache_limit_gb} " + JOB


rule distill:
    input:
        teacher=model("teacher"),
        student=model("student"),
        data=own_data,
        knowledge=own_knowledge,
        counts=own_counts,
    output:
        files(LAYOUT.model("{model}"), *MODEL_FILES, "history.parquet"),
    log:
        f"{LOGS}/distill/{{model}}.log",
    wildcard_constraints:
        model=made_by("distill"),
    group:
        training_job
    threads: THREADS
    params:
        settings=settings,
        output=folder,
        inputs=arguments,
        threads=THREADS,
    shell:
        "python -m kdpipe.stages.distill --settings {params.settings:q} {params.inputs} --output {params.output:q} "
        + JOB


rule schedule:
    input:
        teacher=model("teacher"),
        data=own_data,
        knowledge=own_knowledge,
        importance=own_importance,
    output:
        files(LAYOUT.model("{model}"), *MODEL_FILES, "history.parquet", "candidates.parquet"),
    log:
        f"{LOGS}/schedule/{{model}}.log",
    wildcard_constraints:
        model=made_by("schedule"),
    group:
        training_job
    threads: THREADS
    params:
        settings=settings,
        output=folder,
        inputs=arguments,
        threads=THREADS,
    shell:
        "python -m kdpipe.stages.schedule --settings {params.settings:q} {params.inputs} --output {params.output:q} "
        + JOB
