"""What TextBrewer's README reports and its examples train can be said in a config, beside what is shipped.

Reference:
    airaria/TextBrewer, README.md, examples/.
"""

from collections import Counter

import pytest
import yaml

from kdpipe.config.settings.presets import PRESETS
from kdpipe.plan.build import build_graph

# The README's tables of Chinese results. Two tasks are augmented by the texts of each other, without labels.
CHINESE = """
matrix:
  - teacher:
      roberta: {path: hfl/chinese-roberta-wwm-ext}
      electra: {path: hfl/chinese-electra-180g-base-discriminator}
    task:
      xnli: {epochs: 40, rate: 1.0e-4}
      lcqmc: {epochs: 40, rate: 1.0e-4}
      cmrc: {epochs: 50, rate: 1.5e-4}
      drcd: {epochs: 50, rate: 7.0e-5}
      msra: {epochs: 30, rate: 5.0e-5}
    student: &students
      T3: {teacher: roberta, start: rbt3, states: L3_hidden_mse, products: L3_hidden_smmd}
      T3-small: {teacher: roberta, start: narrow, states: L3n_hidden_mse, products: L3_hidden_smmd}
      T4-tiny: {teacher: roberta, start: tiny, states: L4t_hidden_mse, products: L4_hidden_smmd}
      Electra: {teacher: electra, start: small, states: small_hidden_mse, products: small_hidden_smmd}
      Electra-random: {teacher: electra, start: random, states: small_hidden_mse, products: small_hidden_smmd}
  - augmented: {cmrc: {by: drcd, rate: 1.0e-4}, drcd: {by: cmrc, rate: 7.0e-5}}
    student: *students
datasets:
  xnli:
    {source: table, hub: facebook/xnli, name: zh, task: classification, text: premise, text_pair: hypothesis,
     label: label}
  lcqmc: {source: table, path: a.tsv, validation: 0.1, task: classification, text: a, text_pair: b, label: y}
  cmrc: {source: squad, hub: hfl/cmrc2018, max_length: 512}
  drcd: {source: squad, train: DRCD_training.json, validation: DRCD_dev.json, max_length: 512}
  msra: {source: conll, train: msra_train_bio.txt, test: msra_test_bio.txt, max_length: 160}
  "{augmented}-augmented": {combine: ["{augmented}", "{augmented.by}"], labels: none}
models:
  "{teacher}": {load: {path: "{teacher.path}"}}
  small: {load: {path: hfl/chinese-electra-180g-small-discriminator}}
  rbt3: {load: {path: hfl/rbt3}}
  narrow:
    create:
      tokenizer: roberta
      architecture:
        {family: bert, num_hidden_layers: 3, hidden_size: 384,
         num_attention_heads: 12, intermediate_size: 1536}
  tiny:
    create:
      tokenizer: roberta
      architecture:
        {family: bert, num_hidden_layers: 4, hidden_size: 312,
         num_attention_heads: 12, intermediate_size: 1200}
  random:
    create:
      tokenizer: electra
      architecture:
        {family: electra, num_hidden_layers: 12, hidden_size: 256,
         num_attention_heads: 4, intermediate_size: 1024}
  "{teacher}-{task}": {finetune: {model: "{teacher}", dataset: "{task}"}}
  "{student}-{task}":
    distill: &distill
      teacher: "{student.teacher}-{task}"
      student: "{student.start}"
      dataset: "{task}"
      cache: off
      losses:
        - {loss: soft_cross_entropy, temperature: 8, t_squared: false}
        - {preset: "{student.states}"}
        - {preset: "{student.products}"}
      training: {num_train_epochs: "{task.epochs}", learning_rate: "{task.rate}", lr_scheduler_type: constant}
  "{student}-{augmented}-augmented":
    distill:
      <<: *distill
      teacher: "{student.teacher}-{augmented}"
      dataset: "{augmented}-augmented"
      training: {num_train_epochs: 50, learning_rate: "{augmented.rate}", lr_scheduler_type: constant}
"""

# Notebooks, English students that are trained with augmentation, and the options of a distillation.
ENGLISH = """
matrix:
  student:
    T3: {depth: 3, width: 768, heads: 12, neurons: 3072}
    T6: {depth: 6, width: 768, heads: 12, neurons: 3072}
    T12: {depth: 12, width: 768, heads: 12, neurons: 3072}
    T4: {depth: 4, width: 768, heads: 12, neurons: 3072}
    T3-small: {depth: 3, width: 384, heads: 12, neurons: 1536}
    T4-tiny: {depth: 4, width: 312, heads: 12, neurons: 1200}
    T12-nano: {depth: 12, width: 256, heads: 4, neurons: 1024}
datasets:
  sentences: {source: glue, name: SST-2, path: glue/SST-2}
  questions: {source: squad, hub: rajpurkar/squad}
  newsqa: {source: squad, train: newsqa.json}
  more-questions: {combine: [questions, newsqa], labels: none}
  entities: {source: conll, path: conll2003}
  hotpotqa: {source: conll, train: hotpotqa.txt, classes: [LOC, MISC, ORG, PER]}
  more-entities: {combine: [entities, hotpotqa], labels: none}
defaults:
  distill: {teacher: bert-sentences, dataset: sentences}
models:
  words: {load: {path: bert-base-cased}}
  "{student}":
    create:
      tokenizer: words
      architecture:
        family: bert
        num_hidden_layers: "{student.depth}"
        hidden_size: "{student.width}"
        num_attention_heads: "{student.heads}"
        intermediate_size: "{student.neurons}"
  bert-sentences: {finetune: {model: T12, dataset: sentences}}
  bert-questions: {finetune: {model: T12, dataset: questions}}
  bert-entities: {finetune: {model: T12, dataset: entities}}
  notebook-of-sst2:
    distill:
      student: T3
      losses:
        - {loss: soft_cross_entropy, temperature: 4, t_squared: false}
        - {loss: hidden_mse, layers: [[0, 0], [8, 2]], over_pairs: sum}
      training: {num_train_epochs: 20, learning_rate: 1.0e-4, per_device_train_batch_size: 32}
  notebook-of-squad:
    distill:
      teacher: bert-questions
      student: T3
      dataset: questions
      losses: [{loss: soft_cross_entropy}, {preset: L3_hidden_smmd}]
      training: {num_train_epochs: 20, learning_rate: 1.0e-4, per_device_train_batch_size: 8}
  tiny-with-newsqa:
    distill: &tiny
      teacher: bert-questions
      student: T4-tiny
      dataset: more-questions
      losses:
        - {loss: soft_cross_entropy, temperature: 8, t_squared: false}
        - {preset: L4t_hidden_mse}
        - {preset: L4_hidden_smmd}
  tiny-with-hotpotqa:
    distill: {<<: *tiny, teacher: bert-entities, dataset: more-entities}
  with-all-options:
    distill:
      student: T3
      losses:
        - loss: soft_cross_entropy
          temperature: {value: 4, schedule: flsw, beta: 1, gamma: 1}
          t_squared: false
          probability_shift: true
          weight: {schedule: linear_decay, compat: textbrewer}
        - {loss: hard, weight: {schedule: linear_growth, compat: textbrewer}}
        - {loss: logit_mse, temperature: cwsm}
        - {loss: gram, layers: [[[0, 4], [0, 1]]], projection: {kind: linear, learning_rate: 1.0e-3}}
        - {loss: cosine}
        - {loss: pkd}
        - loss: hidden_mse
          modules: [[encoder.layer.11.intermediate, encoder.layer.2.output]]
          projection: {kind: linear}
"""

STUDENTS = {"L3": "T3", "L3n": "T3-small", "L4": "T4", "L4t": "T4-tiny", "L6": "T6", "small": "T12-nano"}
OF_TEXTBREWER = [name for name in PRESETS if name.split("_")[0] in STUDENTS]


def graph_of(text, **models):
    config = yaml.safe_load(text)
    return build_graph(config | {"models": config["models"] | models})


def test_the_chinese_results():
    stages = Counter(node.stage for node in graph_of(CHINESE).nodes.values())
    assert stages == {"load": 4, "create": 3, "finetune": 10, "distill": 5 * 5 + 5 * 2}


def test_the_notebooks_the_augmented_students_and_the_options():
    assert graph_of(ENGLISH).facts["with-all-options"].shape.depth == 3


@pytest.mark.parametrize("preset", OF_TEXTBREWER)
def test_a_preset_is_for_its_student(preset):
    student = STUDENTS[preset.split("_")[0]]
    graph = graph_of(ENGLISH, a={"distill": {"student": student, "losses": [{"preset": preset}]}})
    assert graph.nodes["a"].settings.losses[0].over_pairs == "sum"


def test_all_presets_are_tried():
    assert len(OF_TEXTBREWER) == 18
