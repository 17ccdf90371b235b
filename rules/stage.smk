# The rule that all others inherit. It needs the settings and inputs of a job (RULES), and gives the command that runs a
# stage; it has no output of its own. The Python of Snakemake runs the jobs, even if nobody has
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
        arguments=RULES.arguments,
        place=RULES.place,
        checkpoint_minutes=GRAPH.document.checkpoint_minutes,
        more="",
    # The shell becomes the stage, so that the stage receives signals to the shell.
    shell:
        "export PATH={params.path}:$PATH OMP_WAIT_POLICY=PASSIVE; {params.network}; "
        "exec python -m {params.program} {params.arguments} {params.place} --log {log:q} "
        "--checkpoint-minutes {params.checkpoint_minutes} {params.more}" + LIMITS
