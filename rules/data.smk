# Datasets: fetched from the Hub, encoded with a tokenizer, and counted.


rule fetch:
    input:
        unpack(inputs("fetch")),
    output:
        files(HUB / "{repository}"),
    log:
        f"{LOGS}/fetch/{{repository}}.log",
    wildcard_constraints:
        repository=one_of(GRAPH.fetches),
    params:
        settings=settings("fetch"),
        code=code("fetch"),
        output=folder,
        inputs="",
        threads=1,
    shell:
        ONLINE + RUN + " --state {HUB:q}/.state"


rule preprocess:
    input:
        unpack(inputs("preprocess")),
    output:
        files(LAYOUT.data("{dataset}", "{tokenizer}"), "dataset.json"),
    log:
        f"{LOGS}/preprocess/{{dataset}}/{{tokenizer}}.log",
    group:
        "data-{dataset}-{tokenizer}"
    threads: THREADS
    resources:
        mem_mb=memory("preprocess"),
        runtime=runtime("preprocess"),
    params:
        settings=settings("preprocess"),
        code=code("preprocess"),
        output=folder,
        inputs=arguments,
        threads=THREADS,
    shell:
        RUN


rule count_tokens:
    input:
        unpack(inputs("count_tokens")),
    output:
        files(LAYOUT.counts("{dataset}", "{tokenizer}"), "counts.parquet"),
    log:
        f"{LOGS}/count_tokens/{{dataset}}/{{tokenizer}}.log",
    group:
        "data-{dataset}-{tokenizer}"
    resources:
        mem_mb=memory("count_tokens"),
        runtime=runtime("count_tokens"),
    params:
        settings=settings("count_tokens"),
        code=code("count_tokens"),
        output=folder,
        inputs=arguments,
        threads=1,
    shell:
        RUN
