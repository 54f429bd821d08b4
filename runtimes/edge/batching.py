"""One round of continuous batching: a piece of a prompt, then one token for everyone who decodes.

No threads of its own: `runtimes.edge.engine` calls it from its thread and hands over what it made. A fault
in one request ends that request alone; a failed step ends those that were in it. Seats are kept in
`runtimes.edge.scheduler`, the model is run by `runtimes.edge.session`, text is made by `runtimes.edge.tokens`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from runtimes.edge.decoder import Decoder, Floats
from runtimes.edge.generation import Expired, Finish, Generation, Piece
from runtimes.edge.lookup import Lookup
from runtimes.edge.pacing import Pacing
from runtimes.edge.prefixes import Prefixes
from runtimes.edge.probabilities import chosen
from runtimes.edge.sampler import Sampler, best
from runtimes.edge.scheduler import Move, Rows, Seat
from runtimes.edge.tokens import TextStream, Vocabulary
from runtimes.errors import HeadwaterError, Unavailable

ALIKE_TOKENS = 16  # read both ways at the start


class Batching:
    """Runs rounds over the seats of `rows` and collects what they give."""

    def __init__(
        self,
        decoder: Decoder,
        vocabulary: Vocabulary,
        eos: Sequence[int],
        rows: Rows,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._decoder = decoder
        self._vocabulary = vocabulary
        self._eos = frozenset(eos)
        self._rows = rows
        self._prefixes = Prefixes(decoder.slots, decoder.chunk_tokens)
        self._pacing = Pacing(decoder.chunk_tokens)
        self._clock = clock
        self._alike = False  # whether a token leaves the same in the caches read in a piece or generated in a step
        self._made: list[tuple[Generation, Piece]] = []

    def warm_up(self) -> None:
        """Generate a token in every row, in the smallest and in the largest batch.

        Raises:
            HeadwaterError: the model cannot generate.
        """
        token = min(self._eos, default=0)
        for row in range(self._decoder.slots):
            token = int(best(self._decoder.prefill(row, [token], 0)[None, :])[0])
        self._alike = self._computes_alike(token)
        for rows in sorted({1, self._decoder.slots}):
            best(self._decoder.step([token] * rows, [1] * rows))

    def _computes_alike(self, token: int) -> bool:
        """Whether steps and pieces give the same bits here: that depends on the processor and on the caches' type."""
        said = [token]
        scores = self._decoder.prefill(0, said, 0)
        for length in range(1, min(ALIKE_TOKENS, self._decoder.chunk_tokens, self._decoder.context_tokens)):
            said.append(int(best(scores[None, :])[0]))
            scores = self._decoder.step(said[-1:], [length])[0]
        return bool(np.array_equal(scores.copy(), self._decoder.prefill(0, said, 0)))

    def admit(self) -> None:
        """Seat the next of those who wait, if there is room for it."""
        generation = self._rows.next_to_read()
        if generation is not None:
            ask = generation.ask
            try:
                guide = None if ask.grammar is None else ask.grammar.guide()
            except Exception as exc:  # noqa: BLE001 one request's fault must not end the engine
                self._rows.waiting.left(generation)
                self._made.append((generation, Piece(error=_as_ours(exc), at_s=self._clock())))
                return
            sampler = Sampler(ask.sampling, ask.prompt, guide)
            self._rows.seat(generation, sampler, TextStream(self._vocabulary, ask.stops))

    def read(self) -> list[tuple[Generation, Piece]]:
        """Free the seats of those who left and read a piece of a prompt; returns the pieces to deliver."""
        now_s = self._clock()
        for seat in reversed(self._seats()):
            if seat.generation.cancelled:
                self._leave(seat)
            elif seat.generation.expired(now_s):
                self._fail(seat, Expired("The time that the request gave is over; ask for less, or give more."))
        if self._rows.reading is not None:
            self._read_prompt(self._rows.reading)
        return self._taken()

    def decode(self) -> list[tuple[Generation, Piece]]:
        """One token for everyone who decodes; returns the pieces to deliver."""
        if self._rows.decoding:
            self._decode()
        return self._taken()

    def end_all(self, error: HeadwaterError) -> list[tuple[Generation, Piece]]:
        """Free every seat and end its request with this error."""
        for seat in reversed(self._seats()):
            self._fail(seat, error)
        return self._taken()

    def _taken(self) -> list[tuple[Generation, Piece]]:
        made, self._made = self._made, []
        return made

    def _seats(self) -> list[Seat]:
        reading = self._rows.reading
        return [*self._rows.decoding, *([reading] if reading is not None else [])]

    def _read_prompt(self, seat: Seat) -> None:
        prompt = seat.generation.ask.prompt
        beside = bool(self._rows.decoding)
        begun_s = self._clock()
        try:
            if not seat.length:
                seat.length, moves = self._prefixes.seat(seat.row, prompt)
                seat.generation.reused_tokens = seat.length
                for move in moves:
                    self._decoder.move(*move)
            size = self._pacing.tokens(len(prompt) - seat.length, beside=beside)
            part = prompt[seat.length : seat.length + size]
            scores = self._decoder.prefill(seat.row, part, seat.length)
            seat.length += size
            self._prefixes.read(seat.row, prompt, seat.length)
            self._rows.waiting.read(seat.generation, size)
            if beside:
                self._pacing.read(size, self._clock() - begun_s)
            if seat.length < len(prompt):
                return
            token = seat.sampler.pick(scores)
        except Exception as exc:  # noqa: BLE001 one request's fault must not end the engine
            self._fail(seat, _as_ours(exc))
            return
        if self._alike:
            seat.known = Lookup(prompt)
        self._apply(self._rows.promote())
        self._accept(seat, token, scores)

    def _decode(self) -> None:
        seats = list(self._rows.decoding)
        if len(seats) == 1 and self._guessed(seats[0]):
            return
        begun_s = self._clock()
        try:
            scores = self._decoder.step([seat.token for seat in seats], [seat.length for seat in seats])
            likeliest = best(scores).tolist()
        except Exception as exc:  # noqa: BLE001 a failed step must not end the engine
            for seat in reversed(seats):
                self._fail(seat, _as_ours(exc))
            return
        self._pacing.stepped(self._clock() - begun_s)
        for seat in seats:
            seat.length += 1
            self._rows.waiting.generated(seat.generation)
        for place, seat in enumerate(seats):
            try:
                token = likeliest[place] if seat.sampler.greedy else seat.sampler.pick(scores[place])
            except Exception as exc:  # noqa: BLE001 one request's fault must not end the engine
                self._fail(seat, _as_ours(exc))
            else:
                self._accept(seat, token, scores[place])

    def _guessed(self, seat: Seat) -> bool:
        """Check a guess for the only one who decodes: the tokens it gets are those it would get one by one."""
        room = min(seat.generation.max_tokens - seat.made - 1, self._decoder.context_tokens - seat.length - 1)
        guess = seat.known.guess(room) if seat.known is not None and self._pacing.step_s else []
        if seat.known is None or not guess:
            return False
        begun_s, right = self._clock(), 0
        try:
            scores = self._decoder.check(seat.row, [seat.token, *guess], seat.length)
            for row, guessed in zip(scores, [*guess, None], strict=True):
                token = seat.sampler.pick(row)
                seat.length += 1
                self._rows.waiting.generated(seat.generation)
                self._accept(seat, token, row)
                if seat not in self._rows.decoding or token != guessed:
                    break
                right += 1
        except Exception as exc:  # noqa: BLE001 a failed step must not end the engine
            self._fail(seat, _as_ours(exc))
        seat.known.checked(right, (self._clock() - begun_s) / self._pacing.step_s)
        return True

    def _accept(self, seat: Seat, token: int, scores: Floats) -> None:
        """Take a token, sampled from these scores, into the answer, and end the answer where it ends."""
        now_s = self._clock()
        told = seat.generation.ask.logprobs
        try:
            if token in self._eos:
                self._finish(seat, Piece(seat.text.close(), finish=Finish.STOP, at_s=now_s))
                return
            seat.token = token
            seat.made += 1
            if seat.known is not None:
                seat.known.push(token)
            text = seat.text.push(token)
            told_of = () if told is None else (chosen(scores, token, told),)
            if seat.text.stopped:
                self._finish(seat, Piece(text, 1, finish=Finish.STOP, at_s=now_s, chosen=told_of))
            elif seat.made >= seat.generation.max_tokens:
                rest = seat.text.close()
                finish = Finish.STOP if seat.text.stopped else Finish.LENGTH
                self._finish(seat, Piece(text + rest, 1, finish=finish, at_s=now_s, chosen=told_of))
            else:
                self._made.append((seat.generation, Piece(text, 1, at_s=now_s, chosen=told_of)))
        except Exception as exc:  # noqa: BLE001 one request's fault must not end the engine
            self._fail(seat, _as_ours(exc))

    def _finish(self, seat: Seat, piece: Piece) -> None:
        self._leave(seat)
        self._made.append((seat.generation, piece))

    def _fail(self, seat: Seat, error: HeadwaterError) -> None:
        self._finish(seat, Piece(error=error, at_s=time.monotonic()))

    def _leave(self, seat: Seat) -> None:
        if seat.known is not None:  # the next turn of a conversation begins with this answer
            self._prefixes.read(seat.row, seat.known.tokens, seat.length)
        self._apply(self._rows.leave(seat))

    def _apply(self, move: Move | None) -> None:
        if move is not None:
            self._decoder.move(*move)
            self._prefixes.moved(move)


def _as_ours(exc: Exception) -> HeadwaterError:
    if isinstance(exc, HeadwaterError):
        return exc
    return Unavailable(f"The engine could not continue this request ({type(exc).__name__}).", retry_in_s=1.0)
