# Stages that make results. They need models and encoded datasets. They give scores (evaluations/), models in other formats
# (exports/), answers for a benchmark's server, latencies and sizes (measurements/), the report (report/), and the cards of models (cards/, and the
# README.md of each model).


use rule score_importance as evaluate with:
    input:
        model=read("model"),
        data=read("data"),
    output:
        files(LAYOUT.evaluation("{model}", "{dataset}"), "metrics.parquet", "predictions.parquet"),
    log:
        log_of("evaluate", "{model}/{dataset}"),
    group:
        RULES.group
    resources:
        mem_mb=RULES.memory,
        runtime=RULES.runtime,
        gpu=RULES.gpu,


use rule stage as export with:
    input:
        model=read("model"),
    output:
        files(
            LAYOUT.export("{exported}", "{format}"), "model.onnx", "config.json", "tokenizer.json"
        ),
    log:
        log_of("export", "{exported}/{format}"),
    group:
        RULES.group
    resources:
        mem_mb=RULES.memory,
        runtime=RULES.runtime,


use rule score_importance as submit with:
    input:
        model=read("model"),
        data=read("data"),
    output:
        files(LAYOUT.submission("{submitted}", "{dataset}")),
    log:
        log_of("submit", "{submitted}/{dataset}"),


use rule stage as measure with:
    input:
        model=read("model"),
    output:
        files(LAYOUT.measurement("{measured}"), "measurements.parquet"),
    log:
        log_of("measure", "{measured}"),
    # No other job of the machine disturbs the times, so that threads may spin while they wait.
    threads: all_cores
    resources:
        mem_mb=RULES.memory,
        runtime=RULES.runtime,
        gpu=RULES.gpu,
    params:
        network="export HF_HUB_OFFLINE=1; unset OMP_WAIT_POLICY",


use rule stage as report with:
    input:
        models=read("models"),
        evaluations=read("evaluations"),
        measurements=read("measurements"),
        importance=read("importance"),
        data=read("data"),
        files=read_files,
    output:
        files(LAYOUT.report, "report.html", "results.parquet", "results.csv"),
    log:
        local(f"{LAYOUT.results}/logs/report.log"),
    resources:
        mem_mb=RULES.memory,
        runtime=RULES.runtime,
    params:
        # The stage finds its inputs by the config.
        arguments=RULES.whole_config,


use rule report as card with:
    input:
        report=read("report"),
        files=read_files,
    output:
        files(LAYOUT.results / "{cards}"),
    log:
        log_of("card", "{cards}"),
