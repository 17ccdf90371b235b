# What the rules share: the graph of the config, and the paths, inputs and settings that follow from it.
import json
import re
import shlex
import sys
from pathlib import Path

from kdpipe.config.build import build_graph
from kdpipe.config.document import merge, read_config
from kdpipe.config.graph import digest, key_of
from kdpipe.config.hub import hub_folder
from kdpipe.config.settings.base import AFTERWARDS
from kdpipe.errors import EXIT_STATUS, ConfigError

try:
    # A `configfile:` directive would merge config.yaml below every --configfile, and Snakemake overlooks
    # keys that stand twice. What `config` has besides is from --config.
    given = workflow.overwrite_configfiles or [Path(workflow.basedir, "config.yaml")]
    config = merge(read_config(given), config)
    GRAPH = build_graph(config)
except ConfigError as error:
    print(f"The config has mistakes:\n{error}", file=sys.stderr)
    sys.exit(EXIT_STATUS)

LAYOUT = GRAPH.layout
HUB = hub_folder(GRAPH.document.data_dir)
SNAPSHOT = LAYOUT.state / f"config-{digest(config)}.json"
THREADS = GRAPH.document.threads
LOGS = f"{LAYOUT.results}/logs"
MODEL_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
# What every stage is told besides its settings and inputs.
JOB = "--state {LAYOUT.state:q} --log {log:q} --threads {params.threads}"

# The interpreter of the environment that runs Snakemake, activated or not. Threads that spin while they wait
# slow jobs that share a machine down several times. Only `load` and `fetch` may use the network.
BIN = shlex.quote(str(Path(sys.executable).parent))
shell.prefix(f"export PATH={BIN}:$PATH OMP_WAIT_POLICY=PASSIVE HF_HUB_OFFLINE=1; ")


onstart:
    # The report reads the config from a file: a large one would not fit on a command line.
    SNAPSHOT.parent.mkdir(parents=True, exist_ok=True)
    SNAPSHOT.write_text(json.dumps(config))


wildcard_constraints:
    model="[^/]+",
    dataset="[^/]+",
    tokenizer="[^/]+",
    teacher="[^/]+",
    scored="[^/]+",
    key="[^/]+",


def done(folder):
    """The file that says an artifact is whole; the only one that other jobs depend on."""
    return str(folder / "SHA256SUMS")


def files(folder, *names):
    """The files of an artifact that a rule declares."""
    return [f"{folder}/{name}" for name in [*names, "manifest.json", "SHA256SUMS"]]


def folder(wildcards, output):
    """The folder that a job writes."""
    return str(Path(output[0]).parent)


def one_of(names):
    """A pattern that matches some names and nothing else."""
    return "|".join(map(re.escape, names)) or "(?!)"


def made_by(stage):
    """A pattern that matches the models of one stage, so that each has one rule."""
    return one_of(name for name, node in GRAPH.nodes.items() if node.stage == stage)


def node(wildcards):
    """The settings of the node that a job makes."""
    return GRAPH.nodes[wildcards.model].settings


def settings(wildcards):
    """The settings that a node's stage is given; what it is evaluated on changes nothing in the model."""
    given = node(wildcards)
    if hasattr(given, "metric"):
        given = GRAPH.with_metric(given)
    return given.model_dump_json(exclude=set(AFTERWARDS))


def model(setting):
    """An input function: the model that a setting names."""
    return lambda wildcards: done(LAYOUT.model(getattr(node(wildcards), setting)))


def encoded(dataset, name):
    """A dataset as the tokenizer of a node encodes it."""
    return done(LAYOUT.data(dataset, GRAPH.facts[name].tokenizer))


def own_data(wildcards):
    """The dataset of a node, as its own tokenizer encodes it."""
    return encoded(node(wildcards).dataset, wildcards.model)


def own_counts(wildcards):
    """The token counts that a node's masking prefers rare tokens by, if it masks."""
    dataset = node(wildcards).dataset
    if GRAPH.datasets[dataset].task != "language_modeling" or not node(wildcards).masking.smoothing:
        return []
    return done(LAYOUT.counts(dataset, GRAPH.facts[wildcards.model].tokenizer))


def own_importance(wildcards):
    """The scores of a model's heads and neurons that a node reads, if it does."""
    wanted = GRAPH.importance_of(node(wildcards))
    if wanted is None:
        return []
    source, dataset, how = wanted
    return done(LAYOUT.importance(source, dataset, key_of(how)))


def own_knowledge(wildcards):
    """The teacher's signals that a node reads, if they are cached."""
    if not GRAPH.is_cached(node(wildcards)):
        return []
    key = key_of(GRAPH.cache_settings(node(wildcards)))
    return done(LAYOUT.knowledge(node(wildcards).teacher, node(wildcards).dataset, key))


def training_job(wildcards):
    """The job that trains a model and, where jobs are submitted, scores it on its own dataset.

    A pretrained model is scored by a job of its own: the data is encoded with its tokenizer in between.
    """
    own = wildcards.get("dataset") in (None, getattr(node(wildcards), "dataset", None))
    trained = GRAPH.nodes[wildcards.model].stage in ("finetune", "distill", "schedule")
    return f"train-{wildcards.model}" if trained and own else None


def repository_files(wildcards):
    """The files of a repository of a dataset that is a local folder."""
    settings = GRAPH.fetches[wildcards.repository]
    found = Path(settings.path).rglob("*") if settings.local else []
    return sorted(str(path) for path in found if path.suffix in (".md", ".parquet"))


def source_files(wildcards):
    """The local files that a dataset is read from, as far as they exist; of fetched ones their digests."""
    sources = GRAPH.datasets[wildcards.dataset].sources
    return [str(path) for source in sources for path in source.local_files()]


def published_values():
    """The file of published values that the report compares with, if there is one."""
    path = GRAPH.document.report.published
    return [str(path)] if path is not None and path.exists() else []


def arguments(wildcards, input):
    """The options that name the artifacts a stage reads."""
    named = {
        name: [paths] if isinstance(paths, str) else paths for name, paths in input.items() if paths
    }
    return " ".join(
        f"--{name.replace('_', '-')} {shlex.join(paths)}" for name, paths in named.items()
    )
