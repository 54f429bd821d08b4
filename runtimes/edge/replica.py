"""A whole student replica in one thread: artifact, engine and server, with a report anyone may ask for.

The Ray actor and the foreground command both run this. It listens at once and is ready when a first token was
generated. What runs within is in `runtimes.edge.engine` and `runtimes.edge.server`; the thread has its own event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from runtimes.contract import ClassifierShape, DecoderShape, Phase, ReplicaReport, ReplicaSpec, SpeechShape
from runtimes.edge.artifact import Artifact, cache_bytes, open_artifact
from runtimes.edge.chat import ChatTemplate
from runtimes.edge.classifier import Classifier
from runtimes.edge.embeddings import EncoderServed
from runtimes.edge.encoder import Encoder
from runtimes.edge.encoding import Encoding
from runtimes.edge.engine import Engine
from runtimes.edge.generating import Served
from runtimes.edge.generation import Batch, deliver
from runtimes.edge.grammar import Grammars
from runtimes.edge.hearing import Hearing
from runtimes.edge.metrics import EdgeMetrics
from runtimes.edge.recognizer import Recognizer
from runtimes.edge.reranking import ClassifierServed
from runtimes.edge.server import EdgeServer, Serves
from runtimes.edge.session import Session
from runtimes.edge.tokens import Vocabulary
from runtimes.edge.transcriptions import SpeechServed
from runtimes.errors import HeadwaterError, Invalid, Unavailable

BACKLOG = 256  # connections that may wait to be accepted
GOODBYE_S = 2.0  # what open connections get to read their last bytes
DRAINED = "Has finished what it had."

# The library writes a traceback for every malformed request, so clients could fill the log; mistakes of our own are
# logged in `runtimes.edge.server`.
_QUIET = logging.getLogger("runtimes.edge.connections")
_QUIET.setLevel(logging.CRITICAL)


class Replica:
    """Runs one `ReplicaSpec`. Everything public is safe from any thread."""

    def __init__(
        self,
        spec: ReplicaSpec,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        log: Callable[[str], None] | None = None,
    ) -> None:
        """Build it; nothing runs before `start`.

        Args:
            spec: what to run.
            host: address to listen on.
            port: port to listen on; 0 takes a free one.
            log: takes one line for each event of its life.
        """
        self.spec = spec
        self._host = host
        self._port = port
        self._log = log
        self._phase = Phase.STARTING
        self._message = "The model is loading."
        self._url = ""
        self._providers: tuple[str, ...] = ()
        self._started_at_s = 0.0
        self._engine: Engine | Encoding | Hearing | None = None
        self._draining = False
        self._server: EdgeServer | None = None
        self._settled = threading.Event()  # READY or FAILED was reached, or it is draining
        self._loop = _new_loop()
        self._leave = asyncio.Event()
        self._change = threading.Lock()
        self._thread = threading.Thread(target=self._live, name=f"edge-{spec.name}", daemon=True)

    def start(self) -> None:
        """Start loading in the replica's own thread; returns at once."""
        self._started_at_s = time.time()
        self._say(f"starts: process {os.getpid()}, artifact {self.spec.artifact}")
        self._thread.start()

    def report(self) -> ReplicaReport:
        """What this replica says of itself, now."""
        engine = self._engine
        with self._change:
            running, waiting = (engine.running, engine.waiting) if engine is not None else (0, 0)
            # A request between queue and slot, or whose last bytes are on their way, is still here.
            running = max(running, (self._server.unanswered if self._server is not None else 0) - waiting)
            # Said on a report: whoever reads in one that nothing is left may end the process at once.
            if self._phase is Phase.DRAINING and self._message != DRAINED and running + waiting == 0:
                self._become(Phase.DRAINING, DRAINED)
        return ReplicaReport(
            spec=self.spec,
            phase=self._phase,
            url=self._url,
            pid=os.getpid(),
            started_at_s=self._started_at_s,
            running=running,
            waiting=waiting,
            message=self._message,
            providers=self._providers,
        )

    def wait(self, timeout_s: float) -> ReplicaReport:
        """The report once it is ready or has failed, or after `timeout_s`."""
        self._settled.wait(timeout_s)
        return self.report()

    def drain(self) -> None:
        """Take nothing new and finish what was accepted; returns at once."""
        with self._change:
            self._draining = True
            if self._engine is not None:
                self._engine.drain()
            if self._phase in {Phase.STARTING, Phase.READY}:
                self._become(Phase.DRAINING, "Takes nothing new and finishes what it has.")

    def stop(self, timeout_s: float) -> None:
        """Stop serving; requests still running get an error. Waits at most `timeout_s` for the thread."""
        if not self._thread.is_alive():
            return
        with contextlib.suppress(RuntimeError):  # the loop has just closed by itself
            self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join(timeout_s)

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            with self._change:
                if self._phase is not Phase.FAILED:
                    self._become(Phase.GONE, "Stopped.")
            self._loop.close()

    async def _serve(self) -> None:
        self._server = server = EdgeServer(EdgeMetrics())
        runner = web.AppRunner(
            server.app(),
            access_log=None,
            logger=_QUIET,
            handle_signals=False,
            handler_cancellation=True,
            shutdown_timeout=GOODBYE_S,
        )
        await runner.setup()
        try:
            self._url = await self._listen(runner)
            self._say(f"listens at {self._url} and loads the model")
            await self._open(server)
        except HeadwaterError as exc:
            self._fail(server, str(exc))
        except Exception as exc:  # noqa: BLE001 a replica that cannot start says so and never takes its process down
            self._fail(server, f"The replica could not start: {type(exc).__name__}: {exc}")
        if self._url:
            await self._leave.wait()
        if self._engine is not None:
            await self._loop.run_in_executor(None, self._engine.stop, GOODBYE_S)
        await runner.cleanup()
        await self._loop.shutdown_default_executor()

    async def _listen(self, runner: web.AppRunner) -> str:
        try:
            await web.TCPSite(runner, self._host, self._port, backlog=BACKLOG).start()
        except OSError as exc:
            raise Unavailable(
                f"Port {self._port} on {self._host} cannot be listened on ({exc.strerror or exc}); "
                "choose another, or 0 for a free one."
            ) from exc
        host, port = runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def _open(self, server: EdgeServer) -> None:
        served = await self._loop.run_in_executor(None, self._load)
        server.open_for(served)
        with self._change:
            self._engine = served.engine
            if self._draining:
                served.engine.drain()
                self._settled.set()
            else:
                self._become(Phase.READY, self._not_there())

    def _load(self) -> Serves:
        spec = self.spec
        artifact = open_artifact(Path(spec.artifact))
        reserved = cache_bytes(artifact.manifest.shape, slots=spec.slots, context_tokens=spec.context_tokens)
        needed = reserved + artifact.manifest.needs.resident_bytes
        if needed > spec.memory_bytes:
            raise Invalid(
                f"{spec.slots} slots of {spec.context_tokens} tokens need {reserved} bytes of cache and the model "
                f"{artifact.manifest.needs.resident_bytes}, together {needed}; the replica may use {spec.memory_bytes}."
            )
        vocabulary = Vocabulary.load(artifact.tokenizer)
        names = (spec.service, artifact.manifest.model)
        if not isinstance(artifact.manifest.shape, DecoderShape):
            return self._load_other(artifact, vocabulary, names)
        shape, template = artifact.decoder, artifact.chat_template()
        chat = template and ChatTemplate(template, bos_token=shape.bos_token, eos_token=shape.eos_token)
        session = Session(
            artifact,
            slots=spec.slots,
            context_tokens=spec.context_tokens,
            threads=spec.threads,
            providers=spec.providers,
        )
        self._providers = session.providers
        engine = Engine(session, vocabulary, eos=shape.eos_token_ids, queue=spec.queue, post=self._post)
        engine.start()
        grammars = Grammars(vocabulary, shape.eos_token_ids)
        return Served(engine, vocabulary, chat or None, grammars, names, int(self._started_at_s))

    def _load_other(self, artifact: Artifact, vocabulary: Vocabulary, names: tuple[str, ...]) -> Serves:
        """A model that generates no text."""
        spec, made_s = self.spec, int(self._started_at_s)
        engine: Encoding | Hearing
        if isinstance(artifact.manifest.shape, SpeechShape):
            recognizer = Recognizer(artifact, threads=spec.threads, providers=spec.providers)
            self._providers = recognizer.providers
            engine = Hearing(recognizer, vocabulary.decode, slots=spec.slots, queue=spec.queue, post=self._call)
            engine.start()
            return SpeechServed(engine, vocabulary, names, made_s)
        labels = artifact.manifest.shape.labels if isinstance(artifact.manifest.shape, ClassifierShape) else ()
        kind = Classifier if labels else Encoder
        reader = kind(artifact, context_tokens=spec.context_tokens, threads=spec.threads, providers=spec.providers)
        self._providers = reader.providers
        engine = Encoding(reader, slots=spec.slots, queue=spec.queue, post=self._call)
        engine.start()
        if labels:
            return ClassifierServed(engine, vocabulary, labels, names, made_s)
        return EncoderServed(engine, vocabulary, names, made_s)

    def _not_there(self) -> str:
        """What was asked to run the graph and does not."""
        missing = [name for name in self.spec.providers if name not in self._providers]
        if not missing:
            return ""
        where = "not in this build of ONNX Runtime, or without a device"
        return f"Runs on {self._providers[0]}; {where}: {', '.join(missing)}. Install the build that has it."

    def _post(self, batch: Batch) -> None:
        self._loop.call_soon_threadsafe(deliver, batch)

    def _call(self, work: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(work)

    def _fail(self, server: EdgeServer, message: str) -> None:
        server.close_because(message)
        with self._change:
            self._become(Phase.FAILED, message)

    def _become(self, phase: Phase, message: str) -> None:
        self._phase = phase
        self._message = message
        if phase is not Phase.STARTING:
            self._settled.set()
        where = f" at {self._url}" if phase is Phase.READY or not message else ""
        self._say(f"is {phase}{where}" + (f": {message}" if message else ""))

    def _say(self, event: str) -> None:
        if self._log is not None:
            self._log(f"{self.spec.name} {event}")


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 it does not exist on Windows
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
