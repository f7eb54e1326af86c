"""Named templates: what they render, and which chat templates are recognised as them."""

import random
from pathlib import Path

import pytest

from corral import Conversation, Message
from corral_gguf.loader import GgufLoader
from corral_templates.detect import _index, detect, fingerprint, levenshtein, named, names
from corral_templates.go.engine import GoTemplate

SYSTEM, QUESTION, ANSWER, AGAIN = (
    Message(role="system", content="S"),
    Message(role="user", content="Q"),
    Message(role="assistant", content="A"),
    Message(role="user", content="R"),
)
WANT = {
    "alfred": "<start_system>S<end_message><start_user>Q<end_message><start_assistant>A<end_message>"
    "<start_user>R<end_message><start_assistant>",
    "alpaca": "S\n\n### Instruction:\nQ\n\n### Response:\nA\n\n### Instruction:\nR\n\n### Response:\n",
    "chatml": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n"
    "<|im_start|>user\nR<|im_end|>\n<|im_start|>assistant\n",
    "chatqa": "System: S\n\nUser: Q\n\nAssistant: A\n\nUser: R\n\nAssistant:",
    "codellama-70b-instruct": "Source: system\n\n S <step> Source: user\n\n Q <step> Source: assistant\n\n A <step> "
    "Source: user\n\n R <step> Source: assistant\nDestination: user\n\n ",
    "command-r": "<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>S<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Q<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>A<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>R<|END_OF_TURN_TOKEN|><|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>\n",
    "falcon-instruct": "System: S\nUser:\nQ\nFalcon:\nA\nUser:\nR\nFalcon:\n",
    "gemma-instruct": "<start_of_turn>user\nS\nQ<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n"
    "<start_of_turn>user\nR<end_of_turn>\n<start_of_turn>model\n",
    "gemma3-instruct": "<start_of_turn>user\nS\n\nQ<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n"
    "<start_of_turn>user\nR<end_of_turn>\n<start_of_turn>model\n\n",
    "granite-instruct": "System:\nS\n\nQuestion:\nQ\n\nAnswer:\nA\n\nQuestion:\nR\n\nAnswer:\n",
    "llama2-chat": "[INST] <<SYS>>\nS\n<</SYS>>\n\nQ [/INST] A</s><s>[INST] <<SYS>><</SYS>>\n\nR [/INST]",
    "llama3-instruct": "<|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nQ<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nR<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "magicoder": "S\n\n@@ Instruction\nQ\n\n@@ Response\nA\n\n@@ Instruction\nR\n\n@@ Response\n",
    "mistral-instruct": "[INST] S\n\nQ[/INST] A</s>[INST] R[/INST]",
    "openchat": "GPT4 Correct System: S<|end_of_turn|>GPT4 Correct User: Q<|end_of_turn|>"
    "GPT4 Correct Assistant: A<|end_of_turn|>GPT4 Correct User: R<|end_of_turn|>GPT4 Correct Assistant:",
    "phi-3": "<|system|>\nS<|end|>\n<|user|>\nQ<|end|>\n<|assistant|>\nA<|end|>\n<|user|>\nR<|end|>\n<|assistant|>\n",
    "solar-instruct": "### System:\nS\n\n### User:\nQ\n\n### Assistant:\nA</s>\n\n### User:\nR\n\n### Assistant:\n",
    "starcoder2-instruct": "S\n\n### Instruction\nQ\n\n### Response\nA<|endoftext|>\n\n"
    "### Instruction\nR\n\n### Response\n",
    "vicuna": "S\n\nUSER: Q\nASSISTANT: A</s>\nUSER: R\nASSISTANT:",
    "zephyr": "<|system|>\nS</s>\n<|user|>\nQ</s>\n<|assistant|>\nA</s>\n<|user|>\nR</s>\n<|assistant|>\n",
}
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def test_every_name_has_a_template() -> None:
    assert set(names()) == set(WANT)


@pytest.mark.parametrize("name", names())
def test_turn_shapes(name: str) -> None:
    found = named(name)
    assert found.stops
    prompt = GoTemplate(found.source).render(Conversation(messages=(SYSTEM, QUESTION, ANSWER, AGAIN)))
    assert prompt == WANT[name]


def test_command_r_knows_tools() -> None:
    assert GoTemplate(named("command-r").source).capabilities == {"tools"}


def test_a_default_system_message_does_not_hide_chatml() -> None:
    starter = CHATML.replace(
        "{{ '<|im_start|>' + m",
        "{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\\nBe a helpful model.<|im_end|>\\n' }}"
        "{% endif %}{{ '<|im_start|>' + m",
    )
    found = detect(starter)
    assert found is not None
    assert (found.name, found.stops) == ("chatml", ("<|im_start|>", "<|im_end|>"))


def test_the_real_starter_model_is_recognised(smollm2_path: Path) -> None:
    weights = GgufLoader(use_mmap=True).open(smollm2_path)
    try:
        found = detect(weights.info.chat_template or "")
    finally:
        weights.close()
    assert found is not None
    assert found.name == "chatml"


def test_near_is_recognised_and_far_is_not() -> None:
    base = detect(CHATML)
    assert base is not None
    assert base.name == "chatml"
    assert detect(CHATML + "{# " + "x" * 60 + " #}") == base
    assert detect(CHATML + "{# " + "x" * 200 + " #}") is None
    assert detect("") is None
    assert detect("x" * 300) is None
    assert detect("x" * 5_000_000) is None


def test_the_bound_is_one_hundred() -> None:
    """Characters appended to an entry itself add their number to the distance, also between fingerprints."""
    entry = max(_index(), key=lambda entry: len(entry.fingerprint))
    stranger = next(char for char in "~!" if char not in entry.fingerprint)
    text = "".join(chr(0x60 + int(digit, 16)) for digit in entry.fingerprint)  # some text with that fingerprint
    near, far = detect(text + stranger * 99), detect(text + stranger * 100)
    assert near is not None
    assert near.name == entry.name
    assert far is None


def test_levenshtein_is_the_table_of_the_textbook() -> None:
    rng = random.Random(7)
    for _ in range(200):
        a, b = ("".join(rng.choices("abc", k=rng.randrange(30))) for _ in range(2))
        assert levenshtein(a, b) == _textbook(a, b)


def test_fingerprints_never_add_distance() -> None:
    rng = random.Random(8)
    for _ in range(100):
        a, b = ("".join(rng.choices("{}%'|<>abcdefgh é漢", k=rng.randrange(40))) for _ in range(2))
        assert levenshtein(fingerprint(a), fingerprint(b)) <= levenshtein(a, b)


def _textbook(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]
