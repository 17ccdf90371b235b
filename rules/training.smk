# Stages that train a model, and stages that prepare a training. They need models and encoded datasets. They give trained
# models (models/), the importance of a model's units (importance/), and stored signals of teachers (knowledge/).


use rule stage as pretrain with:
    input:
        files=read_files,
    output:
        model_files("history.parquet"),
    log:
        log_of("pretrain", "{model}"),
    wildcard_constraints:
        model=RULES.made_by("pretrain"),
    resources:
        mem_mb=RULES.memory,
        runtime=RULES.runtime,
        gpu=GPUS,
        nodes=1,
    params:
        program=RULES.training,


use rule pretrain as finetune with:
    input:
        model=read("model"),
        data=read("data"),
        counts=read("counts"),
    output:
        model_files("history.parquet"),
    log:
        log_of("finetune", "{model}"),
    wildcard_constraints:
        model=RULES.made_by("finetune"),
    group:
        RULES.group


use rule finetune as distill with:
    input:
        teacher=read("teacher"),
        student=read("student"),
        data=read("data"),
        teacher_data=read("teacher_data"),
        knowledge=read("knowledge"),
        counts=read("counts"),
        files=read_files,
    output:
        model_files("history.parquet"),
    log:
        log_of("distill", "{model}"),
    wildcard_constraints:
        model=RULES.made_by("distill"),


use rule finetune as schedule with:
    input:
        teacher=read("teacher"),
        data=read("data"),
        knowledge=read("knowledge"),
        importance=read("importance"),
    output:
        model_files("history.parquet", "candidates.parquet"),
    log:
        log_of("schedule", "{model}"),
    wildcard_constraints:
        model=RULES.made_by("schedule"),


use rule stage as score_importance with:
    input:
        model=read("model"),
        data=read("data"),
    output:
        files(LAYOUT.importance("{scored}", "{dataset}", "{key}"), "scores.parquet"),
    log:
        log_of("score_importance", "{scored}/{dataset}/{key}"),
    resources:
        mem_mb=RULES.memory,
        runtime=RULES.runtime,
        gpu=min(1, GPUS),


use rule score_importance as cache_teacher with:
    input:
        teacher=read("teacher"),
        data=read("data"),
        counts=read("counts"),
    output:
        files(
            LAYOUT.knowledge("{teacher}", "{dataset}", "{key}"), "signals.arrow", "knowledge.json"
        ),
    log:
        log_of("cache_teacher", "{teacher}/{dataset}/{key}"),
    params:
        more=RULES.caching,
