"""What an engine's metrics page says (Prometheus text), as the counters that pacing goes by: vLLM, SGLang, llama.cpp, TGI.

Pages are long, and little of them matters: lines are found by their names, and no other is parsed. Several engines on one page
(data parallel) are one engine that does more at once: what they do is summed, their steps and cache are averaged.
"""

import re
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from slackwater.core.sending.engine_counters import Counters

# Far above any page; what it bounds is our memory.
PAGE_BYTES_MAX = 4 << 20
# No count of an engine is larger; what is cannot be reckoned with.
NUMBER_MAX = 1e15
# More series of one name than any page has.
SERIES_MAX = 4096

# Labels in braces, and the value behind them. A label's value may hold anything, braces and blanks too.
SERIES = re.compile(rb'(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?[ \t]+(\S+)')
LABEL = re.compile(rb'([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"')

Labels = Mapping[bytes, bytes]
Series = list[tuple[bytes, float]]


class _Page:
    def __init__(self, page: bytes) -> None:
        self._page = page

    def series(self, name: bytes) -> Series:
        """The labels and values of every line with this name. What is no number is left out."""
        page = self._page
        found: Series = []
        at = 0 if page.startswith(name) else page.find(b"\n" + name) + 1 or -1
        while at >= 0 and len(found) < SERIES_MAX:
            match = SERIES.match(page, at + len(name))
            if match is not None:
                value = _number(match[2])
                if value is not None:
                    found.append((match[1] or b"", value))
            at = page.find(b"\n" + name, at + len(name)) + 1 or -1
        return found

    def first(self, *names: bytes) -> Series:
        """Those of the first of these names that there is: names have changed between versions."""
        for name in names:
            if found := self.series(name):
                return found
        return []


def counters_in(page: bytes) -> Counters | None:
    """What the page says. None where it is the page of no engine that is known."""
    page = page[:PAGE_BYTES_MAX]
    for mark, read in ENGINES:
        if page.startswith(mark) or b"\n" + mark in page:
            found, started = read(_Page(page)), _Page(page).series(b"process_start_time_seconds")
            # Of several processes nobody knows which one the engine is.
            return replace(found, started=started[0][1]) if found is not None and len(started) == 1 else found
    return None


def of_an_engine(page: bytes) -> bool:
    """Whether it is the page of an engine that is known, whether or not what it says can be read."""
    return any(page.startswith(mark) or b"\n" + mark in page for mark, _ in ENGINES)


def _vllm(page: _Page) -> Counters | None:
    running = page.series(b"vllm:num_requests_running")
    if not running:
        return None
    waiting = page.series(b"vllm:num_requests_waiting")
    reasons = page.series(b"vllm:num_requests_waiting_by_reason")
    if reasons:
        # Others wait for something else than capacity, such as the rest of a cache from elsewhere.
        waiting = [each for each in reasons if _labels(each[0]).get(b"reason") == b"capacity"]
    kv_tokens = block = None
    prefixes = True
    for labels, _ in page.series(b"vllm:cache_config_info"):
        said = _labels(labels)
        prefixes = prefixes and said.get(b"enable_prefix_caching") != b"False"
        size, blocks = _number(said.get(b"block_size", b"")), _number(said.get(b"num_gpu_blocks", b""))
        block = int(size) if size else block
        # Newer versions say the whole; with layers of several kinds it is not the product.
        whole = _number(said.get(b"kv_cache_size_tokens", b"")) or (size or 0.0) * (blocks or 0.0)
        kv_tokens = (kv_tokens or 0.0) + whole if whole else kv_tokens
    return Counters(
        running=_sum(running) or 0.0,
        waiting=_sum(waiting) or 0.0,
        kv=_mean(page.first(b"vllm:kv_cache_usage_perc", b"vllm:gpu_cache_usage_perc")),
        steps=_mean(page.series(b"vllm:iteration_tokens_total_count")),
        step_tokens=_sum(page.series(b"vllm:iteration_tokens_total_sum")),
        generated=_sum(page.first(b"vllm:generation_tokens_total", b"vllm:generation_tokens")),
        token_seconds=_sum(
            page.first(b"vllm:inter_token_latency_seconds_sum", b"vllm:time_per_output_token_seconds_sum")
        ),
        token_gaps=_sum(
            page.first(b"vllm:inter_token_latency_seconds_count", b"vllm:time_per_output_token_seconds_count")
        ),
        looked_up=_sum(page.first(b"vllm:prefix_cache_queries_total", b"vllm:gpu_prefix_cache_queries_total")),
        found=_sum(page.first(b"vllm:prefix_cache_hits_total", b"vllm:gpu_prefix_cache_hits_total")),
        kv_tokens=kv_tokens,
        block_tokens=block,
        prefixes=prefixes,
    )


def _sglang(page: _Page) -> Counters | None:
    running = _whole(page.series(b"sglang:num_running_reqs"))
    if not running:
        return None
    computed = generated = None
    for labels, value in _whole(page.series(b"sglang:realtime_tokens_total")):
        # These are counted step by step; the others when a request has ended.
        mode = _labels(labels).get(b"mode")
        if mode == b"decode":
            generated = (generated or 0.0) + value
        if mode in (b"decode", b"prefill_compute"):
            computed = (computed or 0.0) + value
    prompts = _sum(_whole(page.series(b"sglang:prompt_tokens_total")))
    # Not there before there is any: it has a label for where it was found.
    cached = None if prompts is None else _sum(_whole(page.series(b"sglang:cached_tokens_total"))) or 0.0
    if computed is None:
        generated = _sum(_whole(page.series(b"sglang:generation_tokens_total")))
        if generated is not None and prompts is not None:
            computed = generated + max(0.0, prompts - (cached or 0.0))
    return Counters(
        running=_sum(running) or 0.0,
        waiting=_sum(_whole(page.series(b"sglang:num_queue_reqs"))) or 0.0,
        kv=_mean(_whole(page.series(b"sglang:token_usage"))),
        step_tokens=computed,
        generated=generated,
        token_seconds=_sum(
            page.first(b"sglang:inter_token_latency_seconds_sum", b"sglang:time_per_output_token_seconds_sum")
        ),
        token_gaps=_sum(
            page.first(b"sglang:inter_token_latency_seconds_count", b"sglang:time_per_output_token_seconds_count")
        ),
        looked_up=prompts,
        found=cached,
        kv_tokens=_sum(_whole(page.series(b"sglang:max_total_num_tokens"))),
    )


def _whole(series: Series) -> Series:
    """SGLang's ranks of one engine all say the same, and with priorities each has a series of its own beside that of all."""
    kept = []
    for labels, value in series:
        said = _labels(labels)
        if said.get(b"priority") or said.get(b"tp_rank", b"0") != b"0" or said.get(b"pp_rank", b"0") != b"0":
            continue
        kept.append((labels, value))
    return kept


def _llama(page: _Page) -> Counters | None:
    running = page.series(b"llamacpp:requests_processing")
    if not running:
        return None
    generated = _sum(page.series(b"llamacpp:tokens_predicted_total"))
    prompts = _sum(page.series(b"llamacpp:prompt_tokens_total"))
    return Counters(
        running=_sum(running) or 0.0,
        waiting=_sum(page.series(b"llamacpp:requests_deferred")) or 0.0,
        kv=_mean(page.series(b"llamacpp:kv_cache_usage_ratio")),
        steps=_sum(page.series(b"llamacpp:n_decode_total")),
        step_tokens=None if generated is None or prompts is None else generated + prompts,
        generated=generated,
    )


def _tgi(page: _Page) -> Counters | None:
    running = page.series(b"tgi_batch_current_size")
    if not running:
        return None
    generated = _sum(page.series(b"tgi_request_generated_tokens_sum"))
    prompts = _sum(page.series(b"tgi_request_input_length_sum"))
    return Counters(
        running=_sum(running) or 0.0,
        waiting=_sum(page.series(b"tgi_queue_size")) or 0.0,
        # One for prompts and one for tokens of answers; either is a step.
        steps=_sum(page.series(b"tgi_batch_inference_count")),
        step_tokens=None if generated is None or prompts is None else generated + prompts,
        generated=generated,
        token_seconds=_sum(page.series(b"tgi_request_mean_time_per_token_duration_sum")),
        token_gaps=_sum(page.series(b"tgi_request_mean_time_per_token_duration_count")),
    )


ENGINES: tuple[tuple[bytes, Callable[[_Page], Counters | None]], ...] = (
    (b"vllm:", _vllm),
    (b"sglang:", _sglang),
    (b"llamacpp:", _llama),
    (b"tgi_", _tgi),
)


def _labels(text: bytes) -> Labels:
    return dict(LABEL.findall(text))


def _sum(series: Series) -> float | None:
    return sum(value for _, value in series) if series else None


def _mean(series: Series) -> float | None:
    return sum(value for _, value in series) / len(series) if series else None


def _number(text: bytes) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 <= value <= NUMBER_MAX else None
