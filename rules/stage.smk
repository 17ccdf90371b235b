# What all rules have in common; it makes nothing itself. The Python that runs Snakemake runs the jobs, whether its
# environment is activated or not. Threads that spin while they wait slow down jobs that share a machine several times.
rule stage:
    log:
        log_of("stage", "stage"),
    conda:
        environment
    threads: RULES.threads
    params:
        path=shlex.quote(str(Path(sys.executable).parent)),
        network="export HF_HUB_OFFLINE=1",
        program=RULES.program,
        settings=RULES.settings,
        inputs=RULES.inputs,
        output=folder,
        state=RULES.state,
        code=RULES.code,
        threads=RULES.threads,
        checkpoint_minutes=GRAPH.document.checkpoint_minutes,
        more="",
        limits=limits,
    # A signal to the shell is one to the stage, which it becomes.
    shell:
        "export PATH={params.path}:$PATH OMP_WAIT_POLICY=PASSIVE; {params.network}; "
        "exec python -m {params.program} {params.settings} {params.inputs} --output {params.output:q} "
        "--state {params.state:q} --log {log:q} --code {params.code} --threads {params.threads} "
        "--checkpoint-minutes {params.checkpoint_minutes} {params.limits} {params.more}"
