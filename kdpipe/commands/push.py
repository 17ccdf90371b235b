"""Put a finished model on the Hub: its weights, its config, its tokenizer and its card."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from huggingface_hub import CommitOperationAdd, HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from kdpipe.anatomy.formats import GRAPH, WEIGHTS, model_and_format
from kdpipe.artifacts.sums import SUMS, read_sums, verify
from kdpipe.cards.card import Cards
from kdpipe.cards.loading import loaded_as
from kdpipe.errors import KdpipeError, quoted, reason, suggest
from kdpipe.plan.build import load_graph
from kdpipe.plan.graph import Graph
from kdpipe.plan.layout import CARD
from kdpipe.plan.saved.files import CONFIG, LOADED, WEIGHTS_FILE
from kdpipe.reporting.grouping import model_groups
from kdpipe.reporting.results import collect_results

# The names of files that belong to a model. Its manifest names places of the user's machine.
PUSHED = (*LOADED, "generation_config.json", "*.jinja", GRAPH, f"{GRAPH}{WEIGHTS}")
LOGIN = "log in with `hf auth login`, or set HF_TOKEN"
# What to do about an answer of the Hub, by its status.
REMEDIES = {
    401: f"the token is not valid: {LOGIN}",
    403: "the token may not write there: check the owner in the name, and the rights of the token",
}


def push(
    model: str,
    repository: str,
    configs: Sequence[Path],
    *,
    private: bool = False,
    revision: str | None = None,
) -> str:
    """Upload a model in one commit, and return the address where it is then.

    Args:
        model: a model of the config; or the folder of a model, as a path with a slash.
        repository: the repository as OWNER/NAME; it is made if there is none.
        configs: the files of the config.
        private: whether nobody else may see the repository; a public repository is refused then.
        revision: the branch that takes the commit; it is made if there is none. By default the main branch.

    Raises:
        KdpipeError: the model is not finished, or was changed; or the Hub refuses it or cannot be reached.
    """
    if repository.count("/") != 1:
        raise KdpipeError(f"REPO: expected OWNER/NAME, found {quoted(repository)}")
    folder, card = _in_folder(Path(model)) if "/" in model else _in_config(model, load_graph(configs))
    files = _files(folder)
    if not (token := get_token()):
        raise KdpipeError(f"there is no token for the Hub: {LOGIN}")
    api, name = HfApi(endpoint=_endpoint(), token=token), folder.resolve().name
    if GRAPH in files:
        # An export lies in the folder of its model, and is called as its format.
        name = f"{folder.resolve().parent.name}/{name}"
    with _errors_told(repository, api.endpoint):
        url = api.create_repo(repository, private=private or None, exist_ok=True)
        if private and not api.model_info(url.repo_id).private:
            raise KdpipeError(f"--private: {url} is there already, and public; make it private first")
        if revision:
            api.create_branch(url.repo_id, branch=revision, exist_ok=True)
        uploads = [CommitOperationAdd(CARD, loaded_as(card, name, url.repo_id).encode())]
        uploads += [CommitOperationAdd(file, folder / file) for file in files]
        # `upload_folder` may spread files over several commits.
        message = f"Add {name}, made with kdpipe"
        api.create_commit(url.repo_id, uploads, commit_message=message, revision=revision)
    return f"{url}/tree/{revision}" if revision else str(url)


def _in_folder(folder: Path) -> tuple[Path, str]:
    """Return the folder of a model, and its card."""
    if not (folder / CARD).is_file():
        raise KdpipeError(
            f"{folder / CARD} is missing; name the model as its config does, and its config, "
            "so that its card can be written"
        )
    return folder, _read(folder / CARD)


def _in_config(model: str, graph: Graph) -> tuple[Path, str]:
    """Return the folder of a model of a config, and its card; a card that is not there yet is made."""
    if model not in graph.nodes:
        hint = suggest(model, graph.nodes)
        raise KdpipeError(
            f"there is no model {quoted(model)}; {hint} The folder of a model has a slash in its path"
        )
    folder, card = graph.layout.model(model), graph.layout.card(model)
    if not (folder / SUMS).exists():
        raise KdpipeError(f"{model} is not made yet: {folder / SUMS} is missing; `kdpipe run` makes it")
    return folder, _read(card) if card.is_file() else _new_card(model, graph)


def _new_card(model: str, graph: Graph) -> str:
    """Return the card of a model with the scores that the model, and other runs of it, have so far."""
    groups, layout = model_groups(graph), graph.layout
    scored = [
        (name, dataset)
        for name, dataset in (*graph.evaluations, *graph.exported_evaluations)
        if groups[model_and_format(name)[0]] == groups[model]
        and (layout.runnable(name) / SUMS).exists()
        and (layout.evaluation(name, dataset) / SUMS).exists()
    ]
    return Cards(graph, collect_results(graph, scored)).card(model)


def _read(card: Path) -> str:
    try:
        return card.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise KdpipeError(f"{card}: expected a text in UTF-8; save it so, or delete it") from None


def _files(folder: Path) -> list[str]:
    """Check all files of a model against their digests, and return the names of the files to upload."""
    verify(folder)
    names = read_sums(folder)
    if CONFIG not in names or not {WEIGHTS_FILE, GRAPH} & {*names}:
        raise KdpipeError(
            f"{folder} is no model: expected {CONFIG} and {WEIGHTS_FILE} or {GRAPH}; take a folder of "
            "models/ or of exports/"
        )
    return [name for name in names if any(fnmatch(PurePosixPath(name).name, pattern) for pattern in PUSHED)]


def _endpoint() -> str | None:
    """Return the address of another server than the Hub; None for the Hub.

    Other servers may know no Xet, the newer one of the Hub's two protocols for large files.
    """
    endpoint = os.environ.get("HF_ENDPOINT") or None
    if endpoint and "HF_HUB_DISABLE_XET" not in os.environ:
        constants.HF_HUB_DISABLE_XET = True
    return endpoint


@contextmanager
def _errors_told(repository: str, endpoint: str) -> Iterator[None]:
    """Raise an error of the client as a KdpipeError."""
    what = f"{repository} could not be pushed to {endpoint}"
    try:
        yield
    except KdpipeError:
        raise
    except HFValidationError as error:
        raise KdpipeError(f"REPO: expected OWNER/NAME, found {quoted(repository)}: {reason(error)}") from None
    except HfHubHTTPError as error:
        remedy = REMEDIES.get(error.response.status_code, "check the name of the repository")
        raise KdpipeError(f"{what}: {reason(error)}; {remedy}") from None
    except ValueError as error:
        raise KdpipeError(f"{what}: {reason(error)}; check its card") from None
    except Exception as error:
        # The client passes on errors of several libraries for networks, of which it wraps some.
        cause = error.__cause__ if isinstance(error, RuntimeError) else None
        remedy = "check the network, HF_ENDPOINT and HF_HUB_OFFLINE"
        raise KdpipeError(f"{what}: {reason(cause or error)}; {remedy}") from None
