"""Text out of tokens, piece by piece."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from runtimes.edge.tokens import BROKEN, HELD_TOKENS, TextStream, Vocabulary
from runtimes.errors import Invalid


def pieces(vocabulary: Vocabulary, text: str, *stops: str) -> tuple[list[str], bool]:
    """What a stream emits for a text, token by token, and whether it stopped."""
    stream = TextStream(vocabulary, stops)
    made = []
    for token in vocabulary.encode(text, special=False):
        made.append(stream.push(token))
        if stream.stopped:
            break
    return [*made, stream.close()], stream.stopped


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40))
def test_pieces_together_are_the_text_and_none_is_half_a_character(vocabulary: Vocabulary, text: str) -> None:
    made, _ = pieces(vocabulary, text)

    assert "".join(made).rstrip(BROKEN) == text.rstrip(BROKEN)
    if BROKEN not in text:
        assert not any(BROKEN in piece for piece in made)


@given(st.text(alphabet="aé日😀", min_size=1, max_size=20), st.integers(1, 3))
def test_a_text_cut_within_a_character_ends_before_it(vocabulary: Vocabulary, text: str, missing: int) -> None:
    stream = TextStream(vocabulary)
    whole = text.encode()[:-missing]

    made = [stream.push(token) for token in vocabulary.encode(text, special=False)[:-missing]]

    assert "".join([*made, stream.close()]) == whole.decode(errors="ignore")


@given(st.lists(st.integers(0, 255), max_size=60))
def test_bytes_that_are_no_text_come_out_as_the_tokenizer_says(vocabulary: Vocabulary, ids: list[int]) -> None:
    stream = TextStream(vocabulary)

    made = "".join(stream.push(token) for token in ids) + stream.close()

    assert made.replace(BROKEN, "") == vocabulary.decode(ids).replace(BROKEN, "")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20))
def test_a_tokenizer_that_shows_every_byte_loses_no_character(text: str) -> None:
    bytewise = Tokenizer(models.BPE({f"<0x{byte:02X}>": byte for byte in range(256)}, [], byte_fallback=True))
    bytewise.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    stream = TextStream(Vocabulary(bytewise))

    made = [stream.push(byte) for byte in text.encode()]

    assert "".join([*made, stream.close()]) == text


def test_a_long_run_of_noise_is_not_held_for_ever(vocabulary: Vocabulary) -> None:
    stream = TextStream(vocabulary)
    stray = vocabulary.encode("é", special=False)[1]

    made = [stream.push(stray) for _ in range(100)]

    assert len("".join(made)) > 100 - HELD_TOKENS


@pytest.mark.parametrize(
    ("text", "stops", "seen", "stopped"),
    [
        pytest.param("one two three", ("two",), "one ", True, id="a stop string ends the text before it"),
        pytest.param("one tw", ("two",), "one tw", False, id="a beginning of it is given out at the end"),
        pytest.param("ttwo", ("two",), "t", True, id="a false beginning before it is given out"),
        pytest.param("abcd", ("cd", "bcd"), "a", True, id="the earliest of several wins"),
        pytest.param("日本語", ("本",), "日", True, id="a stop of several bytes"),
        pytest.param("aaab", ("aab",), "a", True, id="an overlapping beginning"),
        pytest.param("stop", ("stop",), "", True, id="nothing before it"),
        pytest.param("plain", (), "plain", False, id="no stop strings"),
    ],
)
def test_stop_strings_never_show(
    vocabulary: Vocabulary, text: str, stops: tuple[str, ...], seen: str, *, stopped: bool
) -> None:
    made, ended = pieces(vocabulary, text, *stops)

    assert ("".join(made), ended) == (seen, stopped)


@given(st.text(alphabet="ab", max_size=30), st.text(alphabet="ab", min_size=1, max_size=4))
def test_with_a_stop_the_text_is_what_stands_before_its_first_place(
    vocabulary: Vocabulary, text: str, stop: str
) -> None:
    made, stopped = pieces(vocabulary, text, stop)

    assert "".join(made) == text.partition(stop)[0]
    assert stopped == (stop in text)


def test_text_is_given_out_as_soon_as_it_cannot_be_a_stop(vocabulary: Vocabulary) -> None:
    assert pieces(vocabulary, "stay", "stop")[0] == ["", "", "sta", "y", ""]


def test_marks_give_no_text(vocabulary: Vocabulary) -> None:
    stream = TextStream(vocabulary)
    end = vocabulary.encode("<end>", special=False)

    assert len(end) == 1
    assert stream.push(end[0]) + stream.close() == ""


def test_a_file_that_is_no_tokenizer_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"model": 3}')

    with pytest.raises(Invalid, match="is not a tokenizer"):
        Vocabulary.load(tmp_path / "tokenizer.json")


def test_a_lone_surrogate_is_refused(vocabulary: Vocabulary) -> None:
    with pytest.raises(Invalid, match="lone surrogate"):
        vocabulary.encode("a\ud800", special=False)
