"""The metrics page of a modelled engine: the names, types and labels of vLLM's, as far as the model knows the values."""

from collections.abc import Iterator

from slackwater.core.engine_model import EngineModel
from slackwater.core.engine_model.counters import Histogram


def gauges(model: EngineModel) -> Iterator[tuple[str, str, str, float]]:
    """Name, help, further labels and value of each gauge."""
    profile, waiting = model.profile, float(len(model.waiting))
    yield "vllm:num_requests_running", "Number of requests in model execution batches.", "", float(len(model.running))
    yield "vllm:num_requests_waiting", "Number of requests waiting to be processed.", "", waiting
    name, text = "vllm:num_requests_waiting_by_reason", "Number of requests waiting to be processed, by reason."
    yield name, text, 'reason="capacity"', waiting
    yield name, text, 'reason="deferred"', 0.0
    yield "vllm:kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", "", model.kv_usage
    blocks = profile.kv_tokens // profile.block_tokens
    cache = f'block_size="{profile.block_tokens}",enable_prefix_caching="True",num_gpu_blocks="{blocks}"'
    yield "vllm:cache_config_info", "Information of the LLMEngine CacheConfig", cache, 1.0


def counters(model: EngineModel) -> Iterator[tuple[str, str, float]]:
    """Name without `_total`, help and value of each counter."""
    counts = model.counters
    yield "vllm:num_preemptions", "Cumulative number of preemption from the engine.", counts.preemptions
    yield "vllm:prompt_tokens", "Number of prefill tokens processed.", counts.prompt_tokens
    yield "vllm:prompt_tokens_cached", "Number of cached prompt tokens.", counts.cached_tokens
    yield "vllm:generation_tokens", "Number of generation tokens processed.", counts.generated_tokens
    yield (
        "vllm:prefix_cache_queries",
        "Prefix cache queries, in terms of number of queried tokens.",
        counts.prompt_tokens,
    )
    yield "vllm:prefix_cache_hits", "Prefix cache hits, in terms of number of cached tokens.", counts.cached_tokens


def histograms(model: EngineModel) -> Iterator[tuple[str, str, Histogram]]:
    """Name, help and values of each histogram. The first one is no counter, whatever its name says."""
    counts = model.counters
    yield "vllm:iteration_tokens_total", "Histogram of number of tokens per engine_step.", counts.step_tokens
    yield "vllm:time_to_first_token_seconds", "Histogram of time to first token in seconds.", counts.first_token
    yield "vllm:inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", counts.inter_token
    yield "vllm:e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", counts.whole_request


def samples(model: EngineModel) -> dict[str, float]:
    """The page's values by name, without the labels of model and engine; others as in `name_bucket{le="0.1"}`."""
    found = {name + (f"{{{more}}}" if more else ""): value for name, _, more, value in gauges(model)}
    found |= {f"{name}_total": float(value) for name, _, value in counters(model)}
    for name, _, histogram in histograms(model):
        found |= {f'{name}_bucket{{le="{_bound(bound)}"}}': float(count) for bound, count in histogram.cumulative()}
        found |= {f"{name}_count": float(histogram.count), f"{name}_sum": histogram.sum}
    return found


def page(model: EngineModel, *, name: str) -> str:
    """The page in Prometheus' text format. `name` is what the served model is called."""
    labels = f'engine="0",model_name="{name}"'
    lines: list[str] = []
    for metric, text, more, value in gauges(model):
        head = _head(metric, text, "gauge")
        lines += [*(() if head[0] in lines else head), f"{metric}{{{labels}{',' if more else ''}{more}}} {value}"]
    for metric, text, value in counters(model):
        lines += [*_head(f"{metric}_total", text, "counter"), f"{metric}_total{{{labels}}} {float(value)}"]
    metric = "vllm:request_success_total"
    lines += _head(metric, "Count of successfully processed requests.", "counter")
    ends = (("stop", 0), ("length", model.counters.finished), ("abort", model.counters.aborted))
    lines += [f'{metric}{{{labels},finished_reason="{reason}"}} {float(count)}' for reason, count in ends]
    for metric, text, histogram in histograms(model):
        lines += _head(metric, text, "histogram")
        for bound, count in histogram.cumulative():
            lines.append(f'{metric}_bucket{{{labels},le="{_bound(bound)}"}} {float(count)}')
        lines += [f"{metric}_count{{{labels}}} {float(histogram.count)}", f"{metric}_sum{{{labels}}} {histogram.sum}"]
    return "\n".join(lines) + "\n"


def _head(name: str, text: str, kind: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _bound(bound: float) -> str:
    return "+Inf" if bound == float("inf") else str(float(bound))
