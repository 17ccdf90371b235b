# What comes out: scores, and the report.


rule evaluate:
    input:
        unpack(inputs("evaluate")),
    output:
        files(LAYOUT.evaluation("{model}", "{dataset}"), "metrics.parquet", "predictions.parquet"),
    log:
        f"{LOGS}/evaluate/{{model}}/{{dataset}}.log",
    group:
        group
    threads: THREADS
    resources:
        mem_mb=memory("evaluate"),
        runtime=runtime("evaluate"),
        gpu=min(1, GPUS),
    params:
        settings=settings("evaluate"),
        code=code("evaluate"),
        output=folder,
        inputs=arguments,
        threads=THREADS,
    shell:
        RUN


rule export:
    input:
        unpack(inputs("export")),
    output:
        files(LAYOUT.export("{model}", "{dataset}")),
    log:
        f"{LOGS}/export/{{model}}/{{dataset}}.log",
    threads: THREADS
    resources:
        mem_mb=memory("export"),
        runtime=runtime("export"),
        gpu=min(1, GPUS),
    params:
        settings=settings("export"),
        code=code("export"),
        output=folder,
        inputs=arguments,
        threads=THREADS,
    shell:
        RUN


rule report:
    input:
        unpack(inputs("report")),
    output:
        files(LAYOUT.report, "report.html", "results.parquet", "results.csv"),
    log:
        f"{LOGS}/report.log",
    resources:
        mem_mb=memory("report"),
        runtime=runtime("report"),
    params:
        settings=f"--config {shlex.quote(str(SNAPSHOT))}",
        code=code("report"),
        output=folder,
        inputs="",
        threads=1,
    shell:
        RUN
