# Stages that prepare data. They need files of the user, repositories of the Hub, and the tokenizers of models. They give
# datasets: fetched, augmented, encoded with a tokenizer (data/), and counts of their tokens (counts/).


use rule stage as fetch with:
    input:
        files=read_files,
    output:
        files(HUB / "{repository}"),
    log:
        log_of("fetch", "{repository}"),
    wildcard_constraints:
        repository=one_of(GRAPH.fetches),
    localrule: True
    params:
        network="unset HF_HUB_OFFLINE",


use rule stage as augment with:
    input:
        model=read("model"),
        augmented=read("augmented"),
        files=read_files,
    output:
        files(LAYOUT.augmented("{augmented}"), "train.parquet", "labels.json"),
    log:
        log_of("augment", "{augmented}"),
    resources:
        mem_mb=RULES.memory,
        runtime=RULES.runtime,
        gpu=min(1, GPUS),


use rule stage as preprocess with:
    input:
        tokenizer=read("tokenizer"),
        augmented=read("augmented"),
        files=read_files,
    output:
        files(LAYOUT.data("{dataset}", "{tokenizer}"), "dataset.json"),
    log:
        log_of("preprocess", "{dataset}/{tokenizer}"),
    group:
        RULES.group
    resources:
        mem_mb=RULES.memory,
        runtime=RULES.runtime,


use rule preprocess as count_tokens with:
    input:
        data=read("data"),
        tokenizer=read("tokenizer"),
    output:
        files(LAYOUT.counts("{counted}", "{tokenizer}"), "counts.parquet"),
    log:
        log_of("count_tokens", "{counted}/{tokenizer}"),
    group:
        RULES.group
