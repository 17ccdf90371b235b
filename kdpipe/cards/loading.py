"""How a saved model is loaded: the folders of its heads, and the lines of Python that load it."""

from collections.abc import Iterator
from pathlib import Path

from kdpipe.anatomy.families import PRUNED, family_facts, head_kind
from kdpipe.anatomy.heads import HEADS
from kdpipe.plan.saved.files import CONFIG, read_object

# The function that takes the name of a model, up to the name.
LOADS = 'from_pretrained("{}"'
OURS = "import kdpipe.models"


def needs_kdpipe(folder: Path) -> bool:
    """Tell whether transformers alone does not know the architecture, or the layers, of a saved model."""
    config = read_object(folder / CONFIG)
    if "quantization_config" in config:
        return True
    kind = str(config["model_type"])
    return kind.startswith(PRUNED) or not family_facts(kind)["config_class"].startswith("transformers.")


def head_folders(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the folders of a model's heads, each after its dataset; for one head the model's own after ""."""
    heads = sorted(path.parent for path in folder.glob(f"{HEADS}/*/{CONFIG}"))
    yield from ((path.name, path) for path in heads) if heads else (("", folder),)


def loading_lines(folder: Path) -> list[str]:
    """Return the lines of Python that load a model and its tokenizer by the name of its folder."""
    heads = dict(head_folders(folder))
    classes = {
        dataset: f"AutoModel{head_kind(read_object(path / CONFIG))}" for dataset, path in heads.items()
    }
    load = LOADS.format(folder.name)
    lines = [OURS] if needs_kdpipe(folder) else []
    lines += [f"from transformers import {', '.join(sorted({*classes.values(), 'AutoTokenizer'}))}", ""]
    for dataset, name in classes.items():
        part = f', subfolder="{HEADS}/{dataset}"' if dataset else ""
        lines.append(f"model = {name}.{load}{part})")
    return [*lines, f"tokenizer = AutoTokenizer.{load})"]


def architecture(folder: Path) -> str:
    """Return the class of a saved model."""
    return str((read_object(folder / CONFIG).get("architectures") or ["model"])[0])


def label_names(folder: Path) -> list[str]:
    """Return the names of a model's outputs in their order; none where it has several heads, or no labels."""
    config = read_object(folder / CONFIG)
    if head_kind(config) not in ("ForSequenceClassification", "ForTokenClassification"):
        return []
    names = config.get("id2label") or {}
    return [f"`{names[number]}`" for number in sorted(names, key=int)] if len(names) > 1 else []


def loaded_as(card: str, model: str, name: str) -> str:
    """Return a card whose lines load the model by another name, such as the name of a repository.

    The lines of an export open files of its folder by their paths.
    """
    return card.replace(LOADS.format(model), LOADS.format(name)).replace(f'"{model}/', f'"{name}/')
