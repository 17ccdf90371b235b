"""The files of a saved model's folder: a file that is not what its name says raises a `ModelError`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdpipe.anatomy.formats import GRAPH, WEIGHTS
from kdpipe.errors import ModelError, some

CONFIG = "config.json"
WEIGHTS_FILE = "model.safetensors"
# Names the file of each tensor, where the weights are in several files.
INDEX = f"{WEIGHTS_FILE}.index.json"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
SPECIAL_TOKENS = "special_tokens_map.json"
# Files of which transformers makes a fast tokenizer, where the tokenizer has no file.
VOCABULARIES = (("vocab.txt",), ("vocab.json", "merges.txt"))
# Tokenizers that models of our families come with and that have no fast version.
SLOW = ("BertJapaneseTokenizer", "BertweetTokenizer", "ByT5Tokenizer", "MyT5Tokenizer", "PhobertTokenizer")
# What is read of a folder or a repository.
LOADED = (
    CONFIG,
    WEIGHTS_FILE,
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "added_tokens.json",
    SPECIAL_TOKENS,
    "spiece.model",
)
SAVE = "load the model with transformers where you trust it, and save it with `save_pretrained(FOLDER{})`"
SAVE_FAST = (
    "where transformers can make a fast tokenizer (it may ask for the package sentencepiece), save it with "
    "`AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)`"
)
TRAINED_FAST = (
    f"take a model with a fast one, or write a {TOKENIZER} that encodes alike with the library tokenizers, "
    f"and name its tokenizer_class PreTrainedTokenizerFast in {TOKENIZER_CONFIG}"
)
PARTS = "its weights are in several files; " + SAVE.format(', max_shard_size="1TB"')
FOREIGN = "its weights are of another format; " + SAVE.format("")
# How weights come besides, by the names of files that give it away, and what to do about it.
OTHERWISE = {
    "adapter_config.json": "it has an adapter alone; merge it into its model with `merge_and_unload()` of "
    "peft, and save the model",
    "*-of-*": PARTS,
    "*.index.json": PARTS,
    "*.safetensors": f"its weights have another name; rename the file to {WEIGHTS_FILE}",
    **dict.fromkeys(("*.bin", "*.pt", "*.pth", "*.ckpt*", "*.h5", "*.msgpack", "*.gguf", "*.onnx"), FOREIGN),
}
# Longer files of JSON are no part of a model; the library of safetensors reads no longer headers either.
LONGEST = 100_000_000
FLOATS = ("F64", "F32", "F16", "BF16")
# The type of weights in int8 layers, and how the names of what scales them end.
INTEGERS, SCALES = "I8", (".weight_scale", ".input_scale")
# What models of our families have besides weights: positions, masks, and ranks of what is left by pruning.
COUNTED = (
    "position_ids",
    "token_type_ids",
    ".attn.bias",
    ".attn.masked_bias",
    "ranks.index",
    "ranks.rank",
)


@dataclass(frozen=True)
class Tensor:
    """A tensor, as the header of a safetensors file describes it.

    Args:
        dtype: its type, such as `F32`.
        shape: its sizes.
        size: bytes that it takes.
    """

    dtype: str
    shape: tuple[int, ...]
    size: int


def read_object(file: Path) -> dict[str, Any]:
    """Read a JSON object."""
    text = _read(file)
    try:
        content = json.loads(text)
        if "\\ud" in text.lower():
            # Escapes may stand for halves of characters, which cannot be written again.
            json.dumps(content, ensure_ascii=False).encode()
    except ValueError:
        raise unreadable(file, "it is no JSON, or no UTF-8") from None
    except RecursionError:
        raise unreadable(file, "it is nested too deep") from None
    if not isinstance(content, dict):
        raise unreadable(file, f"expected a JSON object, found {type(content).__name__}")
    return content


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Return what the weights of a folder consist of, by name; the weights themselves are not read."""
    file = folder / WEIGHTS_FILE
    if not file.exists():
        what = f"{folder} has no {WEIGHTS_FILE}; weights are read from that file alone, never pickled"
        raise ModelError(what + _stored_otherwise(folder))
    tensors = _tensors_in(file)
    _check_types(file, tensors)
    return tensors


def weight_bytes(folder: Path) -> int:
    """Return the bytes of the weights in a folder, of all heads, as torch or as ONNX Runtime reads them."""
    names = (WEIGHTS_FILE, GRAPH, f"{GRAPH}{WEIGHTS}")
    return sum(file.stat().st_size for name in names for file in folder.rglob(name))


def list_tensors(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of a folder by name, of any type, and in one file or in several with an index."""
    index = folder / INDEX
    if (folder / WEIGHTS_FILE).exists() or not index.exists():
        return _tensors_in(folder / WEIGHTS_FILE)
    places = read_object(index).get("weight_map")
    if not isinstance(places, dict) or any(
        not isinstance(part, str) or Path(part).name != part for part in places.values()
    ):
        raise unreadable(index, "expected `weight_map`, with a file of the folder for each tensor")
    parts = {part: _tensors_in(folder / part) for part in sorted({*places.values()})}
    if lacking := [name for name, part in places.items() if name not in parts[part]]:
        raise unreadable(index, f"its files lack {some(lacking)}")
    return {name: parts[part][name] for name, part in places.items()}


def read_tokenizer(folder: Path) -> dict[str, Any]:
    """Return the content of a tokenizer's file, or {} where transformers makes it of a vocabulary."""
    fast = [(TOKENIZER,), *VOCABULARIES]
    if not any(all((folder / name).is_file() for name in names) for names in fast):
        others = [file.name for file in files_of(folder) if file.name not in (CONFIG, WEIGHTS_FILE)]
        raise ModelError(
            f"{folder} has no fast tokenizer: expected {TOKENIZER}, or the files of a vocabulary "
            f"({', or '.join(map(' and '.join, VOCABULARIES))}), found {some(others) or 'none'}; {SAVE_FAST}"
        )
    contents = {file.name: read_object(file) for file in files_of(folder) if file.suffix == ".json"}
    name = contents.get(TOKENIZER_CONFIG, {}).get("tokenizer_class")
    if name in SLOW:
        raise ModelError(f"{folder}: there is no fast version of its {name}; {TRAINED_FAST}")
    return contents.get(TOKENIZER, {})


def files_of(folder: Path) -> list[Path]:
    """Return the files of a folder that are read, regular ones."""
    files = {file for pattern in LOADED for file in folder.glob(pattern)}
    return sorted(file for file in files if file.is_file())


def unreadable(file: Path, reason: str) -> ModelError:
    """Return the error that says why a file cannot be read."""
    return ModelError(f"{file} cannot be read ({reason}); expected the folder of a saved model")


def _read(file: Path) -> str:
    try:
        # A FIFO would be waited for, and a device may have no end.
        if not file.is_file():
            raise unreadable(file, "it is no regular file" if file.exists() else "there is none")
        if file.stat().st_size > LONGEST:
            raise unreadable(file, f"it is longer than {LONGEST:,} bytes")
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise unreadable(file, str(error.strerror)) from None
    except UnicodeDecodeError:
        raise unreadable(file, "it is no JSON, or no UTF-8") from None


def _tensors_in(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name.

    Reference:
        https://huggingface.co/docs/safetensors: eight bytes of length, then a JSON header.
    """
    header, rest = _header(file)
    header.pop("__metadata__", None)
    tensors = {name: _tensor(file, entry) for name, entry in header.items()}
    end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if tensors and end != rest:
        raise unreadable(file, f"its header tells of {end:,} bytes of tensors, found {rest:,}")
    if not tensors:
        raise ModelError(f"{file} holds no tensors; take the file with the weights of the model")
    return tensors


def _header(file: Path) -> tuple[dict[str, Any], int]:
    """Return the header of a file of safetensors, and how many bytes come after it."""
    if not file.is_file():
        raise unreadable(file, "it is no regular file" if file.exists() else "there is none")
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length)) if length <= min(size, LONGEST) else None
    except OSError as error:
        raise unreadable(file, str(error.strerror)) from None
    except (UnicodeDecodeError, ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise unreadable(file, "it is no safetensors file, or cut off")
    return header, size - 8 - length


def _tensor(file: Path, entry: Any) -> Tensor:
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(start), int(end)]} if all(
            type(size) is int for size in shape
        ):
            return Tensor(dtype, tuple(shape), end - start)
    raise unreadable(file, "it does not begin with the header of a safetensors file")


def _check_types(file: Path, tensors: Mapping[str, Tensor]) -> None:
    wrong = [
        f"{name} ({tensor.dtype})"
        for name, tensor in tensors.items()
        if tensor.dtype not in FLOATS and not name.endswith(COUNTED)
    ]
    if wrong:
        raise ModelError(
            f"{file}: expected weights of type {', '.join(FLOATS)}, found {some(wrong)}; quantized models "
            "are not read: take the model that was quantized"
        )


def _stored_otherwise(folder: Path) -> str:
    for pattern, remedy in OTHERWISE.items():
        if files := sorted(file.name for file in folder.glob(pattern)):
            return f"; found {some(files)}: {remedy}"
    return ""
