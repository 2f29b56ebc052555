"""A plug-in of vLLM: its steps take as long as an accelerator's. Runs inside of vLLM, and imports nothing of ours.

The scheduler, the blocks of the cache, the prefix cache, HTTP and the metrics page are the real ones. The tiny model's step is
held until the time that a profile gives for what the scheduler has put into it, so that two cores mostly wait, as the
processors of a machine with an accelerator do. SLOW_STEPS names the profile (`step_times.py` writes it); without it nothing is
changed. SLOW_STEPS_LOG names a file that gets a line for each step: when it ended, milliseconds it was to take, those that
the tiny model took, those that it took in the end, tokens, sequences, and tokens of prompts among them.
"""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def contents(scheduled: Any) -> tuple[int, int, float, int, int]:
    """What is in a step of vLLM's scheduler: tokens, context that is read for decoding, pairs, sequences, tokens of prompts.

    They are what `StepTime.seconds` of the project's engine model is told. A sequence with one token decodes it.
    """
    computed = dict(
        zip(scheduled.scheduled_cached_reqs.req_ids, scheduled.scheduled_cached_reqs.num_computed_tokens, strict=True)
    )
    for new in scheduled.scheduled_new_reqs:
        computed[new.req_id] = new.num_computed_tokens
    context, pairs, prompts = 0, 0.0, 0
    for request, tokens in scheduled.num_scheduled_tokens.items():
        before = computed.get(request, 0)
        if tokens == 1:
            context += before
        else:
            pairs += tokens * (before + tokens * 0.5)
            prompts += tokens
    return scheduled.total_num_scheduled_tokens, context, pairs, len(scheduled.num_scheduled_tokens), prompts


def seconds(profile: Mapping[str, Any], *, tokens: int, context: int, pairs: float, sequences: int) -> float:
    """How long such a step takes on the accelerator, as the project's engine model has it."""
    linear = profile["linear"]
    return float(
        linear[min(tokens, len(linear) - 1)]
        + profile["per_context_token"] * context
        + profile["per_attention_pair"] * pairs
        + profile["per_step"]
        + profile["per_sequence"] * sequences
    )


def register() -> None:
    """What vLLM calls in each of its processes."""
    name = os.environ.get("SLOW_STEPS")
    if not name:
        return
    profile = json.loads(Path(name).read_text())
    # The worker for CPUs is one of these, too.
    from vllm.v1.worker.gpu_worker import Worker

    if getattr(Worker, "slow_steps", False):
        return
    execute, sample = Worker.execute_model, Worker.sample_tokens
    log_name = os.environ.get("SLOW_STEPS_LOG")
    log = open(log_name, "a", buffering=1) if log_name else None  # noqa: SIM115 (as long as the process)

    def execute_model(self: Any, scheduled: Any, *args: Any, **kwargs: Any) -> Any:
        self.slow_began, self.slow_step = time.perf_counter(), None
        if scheduled.total_num_scheduled_tokens:
            self.slow_step = contents(scheduled)
        return execute(self, scheduled, *args, **kwargs)

    def sample_tokens(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = sample(self, *args, **kwargs)
        if self.slow_step is not None:
            tokens, context, pairs, sequences, prompts = self.slow_step
            due = seconds(profile, tokens=tokens, context=context, pairs=pairs, sequences=sequences)
            busy = time.perf_counter() - self.slow_began
            time.sleep(max(0.0, due - busy))
            self.slow_step = None
            if log is not None:
                took = time.perf_counter() - self.slow_began
                log.write(
                    f"{time.time():.4f} {due * 1e3:.2f} {busy * 1e3:.2f} {took * 1e3:.2f} {tokens} {sequences} {prompts}\n"
                )
        return output

    Worker.execute_model, Worker.sample_tokens, Worker.slow_steps = execute_model, sample_tokens, True
