# Datasets: fetched from the Hub, encoded with a tokenizer, and counted.


rule fetch:
    input:
        repository_files,
    output:
        files(HUB / "{repository}"),
    log:
        f"{LOGS}/fetch/{{repository}}.log",
    wildcard_constraints:
        repository=one_of(GRAPH.fetches),
    params:
        settings=lambda wildcards: GRAPH.fetches[wildcards.repository].model_dump_json(),
        output=folder,
        state=HUB / ".state",
    shell:
        "unset HF_HUB_OFFLINE; python -m kdpipe.stages.fetch --settings {params.settings:q} --output {params.output:q} "
        "--state {params.state:q} --log {log:q} --threads 1"


rule preprocess:
    input:
        source_files,
        tokenizer=lambda wildcards: done(LAYOUT.model(wildcards.tokenizer)),
    output:
        files(LAYOUT.data("{dataset}", "{tokenizer}"), "dataset.json"),
    log:
        f"{LOGS}/preprocess/{{dataset}}/{{tokenizer}}.log",
    threads: THREADS
    params:
        settings=lambda wildcards: GRAPH.preprocess_settings(wildcards.dataset).model_dump_json(),
        output=folder,
        inputs=arguments,
        threads=THREADS,
    shell:
        "python -m kdpipe.stages.preprocess --settings {params.settings:q} {params.inputs} --output {params.output:q} "
        + JOB


rule count_tokens:
    input:
        data=lambda wildcards: done(LAYOUT.data(wildcards.dataset, wildcards.tokenizer)),
        tokenizer=lambda wildcards: done(LAYOUT.model(wildcards.tokenizer)),
    output:
        files(LAYOUT.counts("{dataset}", "{tokenizer}"), "counts.parquet"),
    log:
        f"{LOGS}/count_tokens/{{dataset}}/{{tokenizer}}.log",
    params:
        settings="{}",
        output=folder,
        inputs=arguments,
        threads=1,
    shell:
        "python -m kdpipe.stages.count_tokens --settings {params.settings:q} {params.inputs} --output {params.output:q} "
        + JOB
