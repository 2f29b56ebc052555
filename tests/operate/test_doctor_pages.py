"""What `slackwater doctor` says of the metrics page of each engine."""

from pathlib import Path

from tests.operate.engines import engine
from tests.operate.test_doctor import doctor, told

VLLM = b"""\
vllm:num_requests_running 3.0
vllm:iteration_tokens_total_sum 9000.0
vllm:iteration_tokens_total_count 100.0
vllm:generation_tokens_total 900.0
vllm:kv_cache_usage_perc 0.5
vllm:prefix_cache_queries_total 8000.0
vllm:prefix_cache_hits_total 100.0
vllm:cache_config_info{block_size="16",num_gpu_blocks="1000"} 1.0
"""


def test_metrics_pages(tmp_path: Path) -> None:
    """Of each engine: where its page is, what it does not say, and what that means for the pace, without one as well."""
    short = b"llamacpp:requests_processing 1\nllamacpp:n_decode_total 7\n"
    large = VLLM + b"# " + b"x" * (4 << 20) + b"\n"
    with (
        engine(page=VLLM, key="good") as whole,
        engine(page=short) as poor,
        engine() as none,
        engine() as named,
        engine(page=VLLM) as unread,
        engine(page=large) as long,
        engine(page=b"nothing_of_an_engine 1\n") as other,
    ):
        urls = (f'{whole}"\napi_key_env = "ENGINE_KEY', poor, none, named, unread, long, other)
        config = '[[deployments]]\nname = "tiny"\n'
        config += "".join(f'[[deployments.backends]]\nurl = "{url}"\n' for url in urls)
        config += f'[[engines]]\nurl = "{named}"\npace = "strict"\n[[engines]]\nurl = "{unread}"\npace = "fixed"\n'
        found = doctor(tmp_path, config, ENGINE_KEY="good")

    def of(url: str, level: str) -> str:
        return told(found, f"engine {url.removesuffix('/v1')}", level)

    assert f"its metrics page is at {whole.removesuffix('/v1')}/metrics" in of(whole, "ok")
    assert "paced there: gentle" in of(whole, "ok")
    assert "paced there: gentle" in of(poor, "note")
    assert "how full its cache is" in of(poor, "note")
    assert "long prompts go whole" in of(poor, "note")
    assert "how long its steps take" not in of(poor, "note")
    assert "(status 404): batches are not paced" in of(none, "note")
    assert "the pace strict is held by how long answers take" in of(named, "warning")
    assert "its pace is fixed: nobody looks" in of(unread, "note")
    assert "the page is larger than 4 MiB" in of(long, "note")
    assert "no counters on it are known" in of(other, "note")
