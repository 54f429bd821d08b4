"""GGUF vocabulary to `tokenizer.json`, and the special tokens and chat template that go with it.

Only byte-level BPE with a pre-tokenizer that llama.cpp names and we know is converted: a wrong split of digits or
spaces costs quality silently, so anything else is refused. Called by `runtimes.build.staging`.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE

from runtimes.build.gguf_file import GgufFile
from runtimes.errors import Invalid, Refused

CONTROL, USER_DEFINED = 3, 4
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORDS_AND_SPACES = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{WORDS_AND_SPACES}"
LLAMA3 = rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}{WORDS_AND_SPACES}"
PATTERNS = {"qwen2": QWEN2, "llama-bpe": LLAMA3, "llama3": LLAMA3, "smaug-bpe": LLAMA3}
DIGITS_APART = ("smollm", "starcoder")
PLAIN = ("gpt-2",)


def write_tokenizer(gguf: GgufFile, path: Path) -> None:
    """Writes `tokenizer.json`: no prefix space, no added start token, special tokens as single ids.

    Raises:
        Refused: a tokenizer kind or pre-tokenizer that is not known.
        Invalid: tokens, types and merges do not fit together.
    """
    tokens, merges = gguf.strings("tokenizer.ggml.tokens"), gguf.strings("tokenizer.ggml.merges")
    kinds = gguf.metadata.get("tokenizer.ggml.token_type")
    if not isinstance(kinds, list) or len(kinds) != len(tokens):
        raise Invalid(f"{gguf.path.name}: {len(tokens)} tokens need as many token types")
    vocabulary = {token: number for number, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        raise Invalid(f"{gguf.path.name}: {len(tokens)} tokens, of which {len(vocabulary)} differ")
    pairs = [_pair(gguf, merge, vocabulary) for merge in merges]
    before = gguf.text("tokenizer.ggml.pre", "gpt-2")
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=pairs, ignore_merges=PATTERNS.get(before) == LLAMA3))
    tokenizer.pre_tokenizer = _pre_tokenizer(gguf, before)
    tokenizer.decoder = decoders.ByteLevel()
    if before == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_special_tokens([_whole(token) for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL])
    tokenizer.add_tokens([_whole(token) for token, kind in zip(tokens, kinds, strict=True) if kind == USER_DEFINED])
    if tokenizer.get_vocab_size() != len(tokens):
        raise Invalid(f"{gguf.path.name}: its special tokens do not fit its vocabulary")
    tokenizer.save(str(path))


def special_tokens(gguf: GgufFile) -> tuple[str, str, tuple[int, ...]]:
    """Start and end token as text, and every id that ends an answer.

    Raises:
        Invalid: an id lies outside the vocabulary.
    """
    tokens = gguf.strings("tokenizer.ggml.tokens")
    names = ("bos_token_id", "eos_token_id", "eot_token_id")
    found = {name: gguf.metadata.get(f"tokenizer.ggml.{name}") for name in names}
    for name, number in found.items():
        if number is not None and not (isinstance(number, int) and 0 <= number < len(tokens)):
            raise Invalid(f"{gguf.path.name}: {name} is {number}, the vocabulary has {len(tokens)} tokens")
    ids = {name: number for name, number in found.items() if isinstance(number, int)}
    if "eos_token_id" not in ids:
        raise Invalid(f"{gguf.path.name}: metadata tokenizer.ggml.eos_token_id is missing, so no answer would end")
    start = tokens[ids["bos_token_id"]] if "bos_token_id" in ids else ""
    ends = tuple(dict.fromkeys(ids[name] for name in names[1:] if name in ids))
    return start, tokens[ids["eos_token_id"]], ends


def _whole(token: str) -> AddedToken:
    return AddedToken(token, normalized=False)


def _pair(gguf: GgufFile, merge: str, vocabulary: dict[str, int]) -> tuple[str, str]:
    left, _, right = merge.partition(" ")
    if left not in vocabulary or right not in vocabulary or left + right not in vocabulary:
        raise Invalid(f"{gguf.path.name}: merge {merge[:60]!r} names tokens outside the vocabulary")
    return left, right


def _pre_tokenizer(gguf: GgufFile, name: str) -> pre_tokenizers.PreTokenizer:
    kind = gguf.text("tokenizer.ggml.model")
    if kind != "gpt2":
        raise Refused(
            f"{gguf.path.name}: tokenizer kind {kind} is not converted from GGUF; give the Hugging Face directory"
        )
    if name in PATTERNS:
        split = pre_tokenizers.Split(Regex(PATTERNS[name]), behavior="isolated")
        return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if name in DIGITS_APART:
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), plain])
    if name in PLAIN:
        return plain
    known = ", ".join([*PATTERNS, *DIGITS_APART, *PLAIN])
    raise Refused(f"{gguf.path.name}: pre-tokenizer {name} is not known; these are: {known}")
