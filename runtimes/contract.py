"""Messages that control plane and data plane share, versioned.

Pure. Nothing here does I/O. `orchestrator` and every part of `runtimes` import it; it imports neither. A field is added
with a default; a field is never renamed or reused. `SCHEMA` goes up when an older reader would misread a newer message.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCHEMA = 1
MANIFEST_FILE = "manifest.json"


class Message(BaseModel):
    """A frozen message; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Phase(StrEnum):
    """Where a replica is in its life; what a phase means for serving is in `orchestrator.core.lifecycle`."""

    STARTING = "starting"  # process asked for, or loading and warming the model
    READY = "ready"  # has generated a token and takes requests
    SILENT = "silent"  # no word from it; it may still be serving
    DRAINING = "draining"  # takes nothing new, finishes what it has
    FAILED = "failed"  # said itself that it cannot serve, with a reason
    GONE = "gone"


# ---------------------------------------------------------------- artifacts


class FileEntry(Message):
    """One file of an artifact."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)


class Source(Message):
    """Where the weights came from."""

    kind: str = Field(pattern=r"^(gguf|directory|hub)$")
    name: str  # file or directory name, or hub name; never an absolute path
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)


class DecoderShape(Message):
    """What the edge engine must know of the graph."""

    layers: int = Field(gt=0)
    kv_heads: int = Field(gt=0)
    head_dim: int = Field(gt=0)
    vocabulary: int = Field(gt=0)
    context_tokens: int = Field(gt=0)
    eos_token_ids: tuple[int, ...]
    bos_token: str = ""
    eos_token: str = ""
    kv_dtype: str = "float32"


class EncoderShape(Message):
    """What the edge server must know of a graph that reads a text once and gives one vector for it."""

    width: int = Field(gt=0)  # numbers in the vector
    vocabulary: int = Field(gt=0)
    context_tokens: int = Field(gt=0)
    pooling: str = Field(pattern=r"^(mean|cls)$")  # how the vectors of the tokens become one
    normalized: bool  # whether the vector has length 1
    token_types: bool  # whether the graph also asks which part of its input a token belongs to


class ClassifierShape(Message):
    """What the edge server must know of a graph that reads one text, or two together, and scores labels."""

    labels: tuple[str, ...] = Field(min_length=1)
    vocabulary: int = Field(gt=0)
    context_tokens: int = Field(gt=0)
    activation: str = Field(pattern=r"^(softmax|sigmoid|identity)$")  # from the graph's numbers to what is answered
    token_types: bool  # whether the graph also asks which of the two texts a token belongs to


class SpeechShape(Message):
    """What the edge server must know of a pair of graphs that hear a window of sound and write what was said."""

    mels: int = Field(gt=0)  # bands of the spectrogram
    window_frames: int = Field(gt=0)  # of the spectrogram, a hundred a second
    layers: int = Field(gt=0)  # of the decoder, as the next two
    heads: int = Field(gt=0)
    head_dim: int = Field(gt=0)
    vocabulary: int = Field(gt=0)
    context_tokens: int = Field(gt=0)  # prompt and text of one window together
    start_token: int = Field(ge=0)
    end_token: int = Field(ge=0)  # text has lower numbers
    no_timestamps_token: int = Field(ge=0)  # timestamps follow it, in steps of two hundredths of a second
    previous_token: int | None = None  # opens what was said before
    no_speech_token: int | None = None
    languages: dict[str, int]  # code of a language to its token; empty for a model of English alone
    tasks: dict[str, int]  # transcribe and translate
    suppressed: tuple[int, ...] = ()
    suppressed_first: tuple[int, ...] = ()
    latest_start: int | None = None  # timestamps after the first that the first of a window may be


class Needs(Message):
    """Measured on the machine that built the artifact."""

    weights_bytes: int = Field(ge=0)  # read per decoded token, or per batch of an encoder: weights, scales, head
    resident_bytes: int = Field(ge=0)  # resident memory of the engine process after load, cache excluded
    kv_bytes_per_token: int = Field(ge=0)


class Quality(Message):
    """The quantized graph against the unfused fp32 export, on the shipped text."""

    reference: str
    tokens: int = Field(gt=0)
    perplexity: float = Field(gt=0)
    reference_perplexity: float = Field(gt=0)
    greedy_agreement: float = Field(ge=0, le=1)

    @property
    def increase(self) -> float:
        """How far the perplexity is above the reference's, as a share of it; negative when it is below."""
        return self.perplexity / self.reference_perplexity - 1


class WeightFormat(Message):
    """How the matrices of an artifact are stored."""

    bits: int = Field(gt=0)  # of most matrices
    block: int = Field(gt=0)  # neighbouring weights that share a scale
    symmetric: bool  # no zero points
    head_bits: int = Field(gt=0)  # of the head, the first and the last layer


class Similarity(Message):
    """The graph's vectors against those of the float32 model, for each sentence of the shipped text."""

    reference: str
    sentences: int = Field(gt=0)
    mean_cosine: float = Field(ge=-1, le=1)
    lowest_cosine: float = Field(ge=-1, le=1)


class ScoreDistance(Message):
    """The graph's answers against those of the float32 model, for neighbouring sentences of the shipped text."""

    reference: str
    pairs: int = Field(gt=0)
    mean_difference: float = Field(ge=0)  # of a score, after the activation
    largest_difference: float = Field(ge=0)
    same_label: float = Field(ge=0, le=1)  # share of the pairs; 1 where there is one label


class Hearing(Message):
    """The graphs against the float32 model: a made-up sound is heard, and the shipped text read after it.

    No speech is shipped, so this says how near the graphs are to the model, not how well the model hears.
    """

    reference: str
    mean_cosine: float = Field(ge=-1, le=1)  # of what the encoder makes of the sound, place by place
    tokens: int = Field(gt=0)
    greedy_agreement: float = Field(ge=0, le=1)


Shape = DecoderShape | EncoderShape | ClassifierShape | SpeechShape
Measured = Quality | Similarity | ScoreDistance | Hearing
KINDS: dict[str, tuple[type[Message], type[Message]]] = {
    "generation": (DecoderShape, Quality),
    "embedding": (EncoderShape, Similarity),
    "rerank": (ClassifierShape, ScoreDistance),
    "classification": (ClassifierShape, ScoreDistance),
    "transcription": (SpeechShape, Hearing),
}


class ArtifactManifest(Message):
    """`manifest.json` of an edge artifact: a folder with graph, tokenizer and, for a decoder, chat template."""

    schema_version: int = SCHEMA
    model: str
    quantization: str
    licence: str
    source: Source
    task: str = Field(default="generation", pattern=rf"^({'|'.join(KINDS)})$")
    shape: Shape
    needs: Needs
    quality: Measured
    files: dict[str, FileEntry]
    tools: dict[str, str]
    weights: WeightFormat | None = None  # absent in artifacts of the first recipe

    @model_validator(mode="after")
    def _one_kind(self) -> ArtifactManifest:
        if (type(self.shape), type(self.quality)) != KINDS[self.task]:
            raise ValueError(f"task is {self.task}, and shape or quality are those of another")
        return self

    @property
    def total_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size_bytes for entry in self.files.values())


# ---------------------------------------------------------------- replicas


class ReplicaSpec(Message):
    """What a student replica is to run; the fleet hands it to the edge server."""

    schema_version: int = SCHEMA
    name: str
    owner: str  # instance id of the controller that asked for it
    service: str
    tier: str
    site: str
    pool: int  # index of the pool within its site
    variant: str  # digest of model, quantization and engine settings
    artifact: str  # folder of the artifact on the machine that runs it
    slots: int = Field(gt=0)  # sequences decoded together
    context_tokens: int = Field(gt=0)  # per slot, prompt and answer together
    threads: int = Field(gt=0)
    queue: int = Field(ge=0)  # requests that may wait for a slot
    memory_bytes: int = Field(gt=0)
    chip: str = ""  # profile of the pool's chip
    chip_share: float = Field(default=0.0, ge=0)  # chips it takes; a part of one when chips are shared by memory
    providers: tuple[str, ...] = ()  # ONNX Runtime execution providers to try, best first; the CPU is always the last


class ReplicaReport(Message):
    """What a replica says of itself."""

    schema_version: int = SCHEMA
    spec: ReplicaSpec
    phase: Phase
    url: str = ""  # base address, without path; empty until it listens
    pid: int = 0
    started_at_s: float = 0.0  # Unix time
    running: int = 0
    waiting: int = 0
    message: str = ""
    providers: tuple[str, ...] = ()  # execution providers that run its graph, once it is loaded


# ---------------------------------------------------------------- routes


class Upstream(Message):
    """One ready replica."""

    name: str
    url: str  # http://host:port


class Route(Message):
    """One service at the gateway."""

    service: str
    upstreams: tuple[Upstream, ...] = ()


class RouteTable(Message):
    """Everything the gateway routes; a push replaces all of it."""

    schema_version: int = SCHEMA
    routes: tuple[Route, ...] = ()
