"""A model file that is written on the spot: a chain of words, each drawn by the one before it.

Every weight has its place by hand. A word's embedding is the unit vector of its number, attention
and feed-forward add nothing, and the last matrix turns that vector into the logarithm of how often
each word followed it in a text. It says nothing about what models answer; tokenizer, template,
sampler and server do with it what they do with any model.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path

import gguf
import numpy as np

TEXT = """
The river runs past the old mill and under the bridge. The mill stands where the river turns to
the north. A miller lived in the mill, and the miller had a boat. The boat was small, but it went
under the bridge when the water was low. In the spring the water is high, so the boat stays at the
mill. A child from the village asks the miller for a story. The story is about a boat that went to
the sea. The sea is far from the village, and nobody at the mill has seen it. The child says that
the river must know the way to the sea. So the miller and the child follow the river past the
bridge, and the story goes on.
"""
MARKERS = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
CONTEXT = 16_384
ENDS = 0.2
"""How often a sentence is the last one. Never the likeliest: without chance it goes on for ever."""
_NEVER = -12.0
_HIDDEN = 32

Vocabulary = dict[str, "gguf.TokenType"]


def write(path: Path) -> None:
    """Write the model. It takes a fraction of a second and a few megabytes."""
    words = [_token(word) for word in re.findall(r"\w+|[.,]", TEXT)]
    vocabulary = _vocabulary(words)
    writer = gguf.GGUFWriter(path, "llama")
    size = -(-len(vocabulary) // 64) * 64
    _describe(writer, vocabulary, size)
    for name, weights in _weights(_logits(words, list(vocabulary)), size).items():
        writer.add_tensor(name, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _token(word: str) -> str:
    # The tokenizer's sign for the space before a word.
    return word if word in ".," else f"\u2581{word}"


def _vocabulary(words: list[str]) -> Vocabulary:
    kinds = gguf.TokenType
    return (
        {"<unk>": kinds.UNKNOWN, "<s>": kinds.CONTROL, "</s>": kinds.CONTROL}
        | {f"<0x{byte:02X}>": kinds.BYTE for byte in range(256)}
        | dict.fromkeys(MARKERS, kinds.CONTROL)
        | dict.fromkeys(words, kinds.NORMAL)
    )


def _describe(writer: gguf.GGUFWriter, vocabulary: Vocabulary, size: int) -> None:
    tokens = list(vocabulary)
    writer.add_name("words")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(size)
    writer.add_block_count(1)
    writer.add_feed_forward_length(_HIDDEN)
    writer.add_head_count(size // 64)
    writer.add_head_count_kv(1)  # little memory for a long context
    writer.add_rope_dimension_count(64)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(number) for number in range(len(tokens))])
    writer.add_token_types([int(kind) for kind in vocabulary.values()])
    writer.add_unk_token_id(tokens.index("<unk>"))
    writer.add_bos_token_id(tokens.index("<s>"))
    writer.add_eos_token_id(tokens.index("</s>"))
    writer.add_eot_token_id(tokens.index("<|end|>"))
    writer.add_chat_template(TEMPLATE)


def _logits(words: list[str], tokens: list[str]) -> np.ndarray:
    """For each token (row), how likely each one (column) is to follow it, as a logarithm."""
    number = {token: index for index, token in enumerate(tokens)}
    followed = Counter(itertools.pairwise(words))
    sentences = words.count(".")
    # A reply begins like a sentence, and may end behind one.
    followed |= Counter(
        {("<|assistant|>", after): n for (a, after), n in followed.items() if a == "."}
    )
    logits = np.full((len(tokens), len(tokens)), _NEVER, np.float32)
    for (before, after), count in followed.items():
        logits[number[before], number[after]] = np.log(count)
    logits[number["."], number["<|end|>"]] = np.log(ENDS * sentences)
    # What no word followed goes on like the beginning of a reply.
    logits[logits.max(axis=1) == _NEVER] = logits[number["<|assistant|>"]]
    return logits


def _weights(logits: np.ndarray, size: int) -> dict[str, np.ndarray]:
    count = len(logits)
    embedding, output = np.zeros((2, count, size), np.float32)
    embedding[:, :count] = np.eye(count)
    # The norm before the output makes a unit vector this long.
    output[:, :count] = logits.T / np.sqrt(size)
    block = {"attn_q": (size, size), "attn_output": (size, size)}
    block |= {"attn_k": (64, size), "attn_v": (64, size)}
    block |= {"ffn_gate": (_HIDDEN, size), "ffn_up": (_HIDDEN, size), "ffn_down": (size, _HIDDEN)}
    ones = np.ones(size, np.float32)
    return {
        "token_embd.weight": embedding,
        "output_norm.weight": ones,
        "output.weight": output,
        "blk.0.attn_norm.weight": ones,
        "blk.0.ffn_norm.weight": ones,
        **{f"blk.0.{name}.weight": np.zeros(shape, np.float32) for name, shape in block.items()},
    }
