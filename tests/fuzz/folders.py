"""Model folders with faults: other formats, wrong fields, weights of another model."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.fuzz.files import CHANGES as FILE_CHANGES
from tests.fuzz.files import change_somewhere, replace_by_other
from tests.fuzz.values import hostile

CODE = "import pathlib\npathlib.Path(__file__).parents[2].joinpath('home', 'hacked').touch()\n"
FIELDS: dict[str, Any] = {
    "architectures": ["pipeline"],
    "auto_map": {"AutoModel": "modeling.Model", "AutoConfig": "modeling.Config"},
    "quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True},
    "num_hidden_layers": -1,
    "n_layers": 10**9,
    "vocab_size": 10**12,
    "model_type": "llama",
    "torch_dtype": "int8",
    "dtype": "float16",
    "id2label": {"0": "a", "1": "a"},
    "pad_token_id": 10**6,
    "hidden_act": "relu6!",
    "activation": "os.system",
    "pruned_heads": {"0": [0]},
    "num_labels": 10**9,
    "hidden_size": 17,
    "dim": 0,
    "transformers_version": None,
    "attn_implementation": "flash_attention_2",
    "tie_word_embeddings": False,
    "problem_type": "regression",
    "unit_counts": {"head": [2], "neuron": [1]},
}
# Names of files that are typical of other formats, or that a library might act on.
FILES = (
    "pytorch_model.bin", "adapter_config.json", "model-00001-of-00002.safetensors",
    "model.safetensors.index.json", "tf_model.h5", "modeling.py", "generation_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.txt", "spiece.model", "chat_template.jinja",
    "tokenizer_config.json", "merges.txt", "config.json", "x.onnx",
)  # fmt: skip


def spoil_folder(rng: Random, folder: Path) -> str:
    """Spoil a model's folder; return the name of the accident."""
    change = rng.choice(CHANGES)
    change(rng, folder)
    return f"{folder.name} {change.__name__}"


def _change_config(rng: Random, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for _ in range(rng.randint(1, 2)):
        name = rng.choice((*FIELDS, *config))
        config[name] = FIELDS[name] if name in FIELDS and rng.random() < 0.7 else hostile(rng)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def _change_any_json(rng: Random, folder: Path) -> None:
    file = rng.choice(sorted(folder.glob("*.json")))
    content = json.loads(file.read_text(encoding="utf-8"))
    change_somewhere(rng, content)
    file.write_text(json.dumps(content), encoding="utf-8")


def _change_weights(rng: Random, folder: Path) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    name = rng.choice(sorted(weights))
    tensor = weights.pop(name)
    others: tuple[torch.Tensor | None, ...] = (
        None, tensor.half(), tensor.to(torch.int8), torch.full_like(tensor, torch.nan), tensor.flatten(),
        tensor[:0], tensor[..., :1].contiguous(), tensor.double() * 1e300, torch.zeros(()),
    )  # fmt: skip
    changed = rng.choice(others)
    if changed is not None:
        weights[rng.choice((name, name, f"model.{name}", "x"))] = changed
    save_file(weights, file, metadata=rng.choice(({"format": "pt"}, {"format": "tf"}, {})))


def _change_header(rng: Random, folder: Path) -> None:
    file = folder / "model.safetensors"
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    change_somewhere(rng, header)
    text = json.dumps(header).encode()
    size = rng.choice((len(text), len(text), 0, 2**63, 5))
    file.write_bytes(size.to_bytes(8, "little") + text + content[8 + length :])


def _change_file(rng: Random, folder: Path) -> None:
    rng.choice(FILE_CHANGES)(rng, rng.choice(sorted(path for path in folder.iterdir() if path.is_file())))


def _add_file(rng: Random, folder: Path) -> None:
    name = rng.choice(FILES)
    file = folder / name
    text = rng.choice((CODE, "{}", "[]", "", "\0", '{"a": 1}', json.dumps({"auto_map": FIELDS["auto_map"]})))
    file.write_text(text, encoding="utf-8")
    (folder / "modeling.py").write_text(CODE, encoding="utf-8")
    if rng.random() < 0.2:
        replace_by_other(rng, file)


def _rename_weights(rng: Random, folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / rng.choice(FILES))


CHANGES: tuple[Callable[[Random, Path], None], ...] = (
    _change_config, _change_config, _change_any_json, _change_any_json, _change_weights, _change_weights,
    _change_header, _change_file, _change_file, _add_file, _rename_weights,
)  # fmt: skip
