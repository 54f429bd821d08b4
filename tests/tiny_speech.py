"""A Whisper model with random weights and a tokenizer that carries Whisper's special tokens."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from runtimes.build.evaluate import evaluation_text

MARKS = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|zh|>",
    "<|de|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)
STEPS = 1501  # timestamps from 0 to 30 s


def speech_tokenizer() -> Tokenizer:
    """Byte-level BPE of 400 tokens, then the marks, then the timestamps."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([evaluation_text()], trainer)
    tokenizer.add_special_tokens(list(MARKS))
    tokenizer.add_tokens([AddedToken(f"<|{step * 0.02:.2f}|>", normalized=False) for step in range(STEPS)])
    return tokenizer


def write_speech(folder: Path, *, mels: int = 80, seed: int = 7) -> Path:
    """A Hugging Face directory: width 64, 2 layers each way."""
    import torch  # noqa: PLC0415 slow, and only some tests make a model
    from transformers import WhisperConfig, WhisperForConditionalGeneration  # noqa: PLC0415 same

    tokenizer = speech_tokenizer()
    tokens = {mark: tokenizer.token_to_id(mark) for mark in MARKS}
    end, start = tokens["<|endoftext|>"], tokens["<|startoftranscript|>"]
    special = {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end, "decoder_start_token_id": start}
    config = WhisperConfig(
        vocab_size=tokenizer.get_vocab_size(),
        num_mel_bins=mels,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        d_model=64,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        init_std=0.3,
        **special,
    )
    torch.manual_seed(seed)
    WhisperForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "is_multilingual": True,
        "lang_to_id": {mark: tokens[mark] for mark in ("<|en|>", "<|zh|>", "<|de|>")},
        "task_to_id": {name: tokens[f"<|{name}|>"] for name in ("transcribe", "translate")},
        "no_timestamps_token_id": tokens["<|notimestamps|>"],
        "prev_sot_token_id": tokens["<|startofprev|>"],
        "max_initial_timestamp_index": 50,
        "max_length": 448,
        "suppress_tokens": [5, 9, start, tokens["<|startoflm|>"], tokens["<|startofprev|>"], tokens["<|nospeech|>"]],
        "begin_suppress_tokens": [32, end],
        "return_timestamps": False,
        "alignment_heads": [[0, 0]],
    }
    (folder / "generation_config.json").write_text(json.dumps(settings | special))
    heard = {"feature_size": mels, "sampling_rate": 16000, "n_fft": 400, "hop_length": 160}
    (folder / "preprocessor_config.json").write_text(json.dumps(heard))
    return folder
