# What comes out: scores, and the report.


rule evaluate:
    input:
        model=lambda wildcards: done(LAYOUT.model(wildcards.model)),
        data=lambda wildcards: encoded(wildcards.dataset, wildcards.model),
    output:
        files(LAYOUT.evaluation("{model}", "{dataset}"), "metrics.parquet", "predictions.parquet"),
    log:
        f"{LOGS}/evaluate/{{model}}/{{dataset}}.log",
    group:
        training_job
    threads: THREADS
    params:
        settings=lambda wildcards: GRAPH.evaluate_settings(wildcards.dataset).model_dump_json(),
        output=folder,
        inputs=arguments,
        threads=THREADS,
    shell:
        "python -m kdpipe.stages.evaluate --settings {params.settings:q} {params.inputs} --output {params.output:q} "
        + JOB


rule export:
    input:
        model=lambda wildcards: done(LAYOUT.model(wildcards.model)),
        data=lambda wildcards: encoded(wildcards.dataset, wildcards.model),
    output:
        files(LAYOUT.export("{model}", "{dataset}")),
    log:
        f"{LOGS}/export/{{model}}/{{dataset}}.log",
    threads: THREADS
    params:
        settings=lambda wildcards: GRAPH.export_settings(wildcards.dataset).model_dump_json(),
        output=folder,
        inputs=arguments,
        threads=THREADS,
    shell:
        "python -m kdpipe.stages.export --settings {params.settings:q} {params.inputs} --output {params.output:q} "
        + JOB


rule report:
    input:
        [done(LAYOUT.model(name)) for name in GRAPH.nodes],
        [done(LAYOUT.evaluation(*pair)) for pair in GRAPH.evaluations],
        [done(LAYOUT.importance(*key)) for key in GRAPH.importances],
        published_values(),
    output:
        files(LAYOUT.report, "report.html", "results.parquet", "results.csv"),
    log:
        f"{LOGS}/report.log",
    params:
        config=str(SNAPSHOT),
        output=folder,
        threads=1,
    shell:
        "python -m kdpipe.stages.report --config {params.config:q} --output {params.output:q} "
        + JOB
