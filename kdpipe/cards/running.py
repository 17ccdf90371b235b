"""How an exported model is run without torch: a few lines of Python, which its card shows."""

from pathlib import Path

from kdpipe.anatomy.families import HEAD_TASKS, head_kind
from kdpipe.plan.saved.files import CONFIG, read_object

# What the lines need.
RUNNING = ("onnxruntime", "tokenizers")
# What is done with the outputs of a head, by the kind of the head, or by its problem.
READ = {
    "": ["print(outputs[0][0])  # a state of the last layer for each token"],
    "ForCausalLM": ["print(tokenizer.decode([outputs[0][0, -1].argmax()]))  # the next token"],
    "ForMaskedLM": ["print(tokenizer.decode(outputs[0][0].argmax(-1)))  # the likeliest token at each place"],
    "ForQuestionAnswering": [
        "start, end = outputs[0][0].argmax(), outputs[1][0].argmax()",
        "print(tokenizer.decode(text.ids[start : end + 1]))",
    ],
    "ForSequenceClassification": ["print(labels[str(outputs[0][0].argmax())])"],
    "ForTokenClassification": [
        "print([(token, labels[str(row.argmax())]) for token, row in zip(text.tokens, outputs[0][0])])"
    ],
    "multi_label_classification": [
        "print([labels[str(n)] for n, logit in enumerate(outputs[0][0]) if logit > 0])"
    ],
    "regression": ["print(outputs[0][0, 0])"],
}
GIVEN = (
    'given = {"input_ids": text.ids, "attention_mask": text.attention_mask, "token_type_ids": text.type_ids}'
)
LABELLED = ("ForSequenceClassification", "ForTokenClassification", "multi_label_classification")
TEXT = '"A text to read."'
TEXTS = {"ForQuestionAnswering": '"Who wrote it?", "Ada wrote it."'}


def running_lines(folder: Path, name: str) -> list[str]:
    """Return the lines of Python that run an exported model on a text.

    Args:
        folder: its folder.
        name: the folder as the lines name it.
    """
    config = read_object(folder / CONFIG)
    kind = head_kind(config)
    whole_text = "classification" in HEAD_TASKS.get(kind, ())
    reading = str(config.get("problem_type")) if whole_text and config.get("problem_type") in READ else kind
    labels = [f'labels = json.load(open("{name}/{CONFIG}"))["id2label"]'] if reading in LABELLED else []
    return [
        *(["import json"] if labels else []),
        "from onnxruntime import InferenceSession",
        "from tokenizers import Tokenizer",
        "",
        f'tokenizer = Tokenizer.from_file("{name}/tokenizer.json")',
        f'session = InferenceSession("{name}/model.onnx")',
        *labels,
        f"text = tokenizer.encode({TEXTS.get(kind, TEXT)})",
        GIVEN,
        "outputs = session.run(None, {each.name: [given[each.name]] for each in session.get_inputs()})",
        *READ[reading],
    ]
