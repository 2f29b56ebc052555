"""The upper bound: a scheduler inside the engine that fills steps with batch work, knows what each costs, and swaps for nothing.

Online work is scheduled exactly as if there were no batch. Then tokens of batch requests are added while the step stays within
the cap, or within what online work alone takes where that is longer. Batch memory that online work needs is swapped out and
in at no cost. No gateway can have any of this: it is what a gateway is measured against.
"""

from collections.abc import Callable

import numpy as np
from benchmarks.coserving.workload import BatchRequest

from slackwater.core.engine_model import EngineModel, Profile, StepEnd
from slackwater.core.engine_model.step import Chunks, pairs_of

# Smaller pieces of a prompt are not worth a sequence in the step; and how exactly the piece that fits is looked for.
PIECE_MIN, PIECE_EXACT = 16, 8
DECODING_MAX = 4096


class CoScheduler(EngineModel):
    """Its own requests are the online ones; batch requests come from `backlog` and are kept beside them."""

    def __init__(self, profile: Profile, backlog: Callable[[], BatchRequest], *, cap: float) -> None:
        """`cap` is the time of a step in seconds that batch work may not exceed."""
        super().__init__(profile)
        self.batch_requests = self.batch_tokens = 0
        self._backlog, self._cap = backlog, cap
        self._linear = np.array(profile.step_time.linear)
        # Batch requests that are being decoded, in order of admission: all, their contexts, and tokens that are left.
        self._batch: list[BatchRequest] = []
        self._contexts = np.zeros(DECODING_MAX, dtype=np.int64)
        self._left = np.zeros(DECODING_MAX, dtype=np.int64)
        self._next: BatchRequest | None = None
        self._next_computed = 0
        self._decoded = 0

    def begin_step(self, now: float) -> float | None:
        chunks = self._plan(now)
        online_only = self._seconds(chunks) if self._decoding + len(chunks) else 0.0
        cap = max(online_only, self._cap)
        room = self.profile.kv_tokens - self.memory.held
        decoded, context = self._batch_decodes(chunks, cap, room)
        pieces, pairs = self._batch_prompts(chunks, cap, room, decoded, context)
        tokens = self._tokens(chunks) + decoded + pieces
        if tokens == 0:
            return None
        seconds = self.profile.step_time.seconds(
            tokens=tokens,
            context=self._context + int(context),
            pairs=pairs_of(chunks) + pairs,
            sequences=self._decoding + len(chunks) + decoded + (pieces > 0),
        )
        self._left[:decoded] -= 1
        self._contexts[:decoded] += 1
        self._decoded = decoded
        self._begin(seconds, chunks)
        return seconds

    def _tokens(self, chunks: Chunks) -> int:
        return self._decoding + sum(tokens for _, tokens in chunks)

    def _batch_decodes(self, chunks: Chunks, cap: float, room: int) -> tuple[int, int]:
        """How many batch requests get a token, the first ones of those there are, and the sum of their contexts."""
        count = len(self._batch)
        if not count:
            return 0, 0
        contexts = np.cumsum(self._contexts[:count])
        count = min(count, int(np.searchsorted(contexts, room)), self.profile.max_num_seqs - len(self.running))
        if count <= 0:
            return 0, 0
        cost, each = self.profile.step_time, np.arange(1, count + 1)
        seconds = (
            self._linear[self._tokens(chunks) + each]
            + cost.per_context_token * (self._context + contexts[:count])
            + cost.per_attention_pair * pairs_of(chunks)
            + cost.per_step
            + cost.per_sequence * (self._decoding + len(chunks) + each)
        )
        count = int(np.searchsorted(seconds, cap, side="right"))
        return count, int(contexts[count - 1]) if count else 0

    def _batch_prompts(self, chunks: Chunks, cap: float, room: int, decoded: int, context: int) -> tuple[int, float]:
        """Computes pieces of batch prompts while they fit: their tokens, and pairs of attention."""
        cost = self.profile.step_time
        tokens = self._tokens(chunks) + decoded
        online_pairs = pairs_of(chunks)
        sequences = self._decoding + len(chunks) + decoded + 1
        pieces, pairs, kept = 0, 0.0, context
        while decoded + len(self.running) < self.profile.max_num_seqs:
            if self._next is None:
                # Nothing is begun while something is swapped out, nor after another prompt has been completed in this step.
                if decoded < len(self._batch) or kept > room:
                    break
                self._next, self._next_computed = self._backlog(), 0
            batch, computed = self._next, self._next_computed
            if kept + batch.prompt_tokens + batch.output_tokens > room:
                break
            most = min(batch.prompt_tokens - computed, self.profile.max_num_batched_tokens - tokens - pieces)
            if most <= 0:
                break

            def fits(piece: int, computed: int = computed, pieces: int = pieces, pairs: float = pairs) -> bool:
                seconds = cost.seconds(
                    tokens=tokens + pieces + piece,
                    context=self._context + context,
                    pairs=online_pairs + pairs + piece * (computed + piece * 0.5),
                    sequences=sequences,
                )
                return seconds <= cap

            piece = _largest(most, fits)
            if piece < min(PIECE_MIN, batch.prompt_tokens - computed):
                break
            pairs += piece * (computed + piece * 0.5)
            pieces += piece
            self._next_computed += piece
            if self._next_computed < batch.prompt_tokens:
                break
            # Its first token comes with the end of its prompt.
            self._contexts[len(self._batch)] = batch.prompt_tokens + 1
            self._left[len(self._batch)] = batch.output_tokens - 1
            self._batch.append(batch)
            self._next = None
            kept += batch.prompt_tokens
        return pieces, pairs

    def end_step(self, now: float) -> StepEnd | None:
        if self._decoded:
            self._finish()
        return super().end_step(now)

    def _finish(self) -> None:
        done = {index for index in range(self._decoded) if self._left[index] <= 0}
        if not done:
            return
        kept = [index for index in range(len(self._batch)) if index not in done]
        for index in done:
            self.batch_requests += 1
            self.batch_tokens += self._batch[index].prompt_tokens + self._batch[index].output_tokens
        self._contexts[: len(kept)] = self._contexts[kept]
        self._left[: len(kept)] = self._left[kept]
        self._batch = [self._batch[index] for index in kept]


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """The largest piece that fits, to some tokens."""
    if fits(most):
        return most
    low, high = 0, most
    while high - low > PIECE_EXACT:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
