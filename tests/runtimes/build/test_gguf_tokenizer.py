"""The converted tokenizer splits as llama.cpp does on the same file.

`llama_cpp_tokens.json` holds what llama-cpp-python 0.3.36 answered to `tokenize(text, add_bos=False, special=True)`.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from weights import WEIGHTS

from runtimes.build.gguf_file import GgufFile, read_gguf
from runtimes.build.gguf_tokenizer import special_tokens, write_tokenizer
from runtimes.errors import Invalid, Refused

RECORDED = json.loads((Path(__file__).parent / "llama_cpp_tokens.json").read_text())


@pytest.fixture(scope="module")
def smollm() -> GgufFile:
    return read_gguf(WEIGHTS)


@pytest.fixture(scope="module")
def ours(smollm: GgufFile, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("smollm") / "tokenizer.json"
    write_tokenizer(smollm, path)
    return Tokenizer.from_file(str(path))


@pytest.mark.parametrize("row", RECORDED, ids=lambda row: repr(row["text"]))
def test_a_text_splits_as_llama_cpp_splits_it_and_comes_back(ours, row):
    ids = ours.encode(row["text"], add_special_tokens=False).ids

    assert ids == row["ids"]
    assert ours.decode(ids, skip_special_tokens=False) == row["text"]


def test_nothing_is_added_even_when_special_tokens_are_asked_for(ours):
    assert ours.encode("Hello", add_special_tokens=True).ids == ours.encode("Hello", add_special_tokens=False).ids


def test_the_tokens_that_start_and_end_an_answer_are_the_models(smollm):
    assert special_tokens(smollm) == ("<|im_start|>", "<|im_end|>", (2,))


def changed(gguf: GgufFile, **metadata: object) -> GgufFile:
    ours = {key.replace("__", "."): value for key, value in metadata.items()}
    return dataclasses.replace(gguf, metadata=gguf.metadata | ours)


def test_an_end_of_turn_token_ends_an_answer_too(smollm):
    assert special_tokens(changed(smollm, tokenizer__ggml__eot_token_id=0))[2] == (2, 0)


@pytest.mark.parametrize(
    ("metadata", "error", "sentence"),
    [
        ({"tokenizer__ggml__model": "llama"}, Refused, "tokenizer kind llama is not converted from GGUF"),
        ({"tokenizer__ggml__pre": "martian"}, Refused, "pre-tokenizer martian is not known; these are: qwen2"),
        ({"tokenizer__ggml__token_type": [1]}, Invalid, "49152 tokens need as many token types"),
        ({"tokenizer__ggml__merges": ["zz qq!"]}, Invalid, "names tokens outside the vocabulary"),
        ({"tokenizer__ggml__tokens": ["a"] * 49152}, Invalid, "49152 tokens, of which 1 differ"),
        ({"tokenizer__ggml__tokens": 5}, Invalid, r"tokenizer\.ggml\.tokens must be a list of strings, found 5"),
    ],
)
def test_a_vocabulary_that_cannot_be_converted_is_named(smollm, tmp_path, metadata, error, sentence):
    with pytest.raises(error, match=sentence):
        write_tokenizer(changed(smollm, **metadata), tmp_path / "tokenizer.json")


@pytest.mark.parametrize("number", [49152, -1, "two"])
def test_an_end_token_outside_the_vocabulary_is_refused(smollm, number):
    with pytest.raises(Invalid, match="eos_token_id is"):
        special_tokens(changed(smollm, tokenizer__ggml__eos_token_id=number))
