# The rule that all others inherit; it has no output. The Python of Snakemake runs the jobs, even if nobody has
# activated its environment. Threads that spin while they wait would slow down other jobs of the machine.
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
    # The shell becomes the stage, so that the stage receives signals to the shell.
    shell:
        "export PATH={params.path}:$PATH OMP_WAIT_POLICY=PASSIVE; {params.network}; "
        "exec python -m {params.program} {params.settings} {params.inputs} --output {params.output:q} "
        "--state {params.state:q} --log {log:q} --code {params.code} --threads {params.threads} "
        "--checkpoint-minutes {params.checkpoint_minutes} {params.limits} {params.more}"
