"""Makes the profiles of modelled engines from Vidur's measured times of linear layers, and their traces from Azure's.

    python scripts/make_engine_profiles.py LINEAR_OPS.csv.gz CONV.csv.gz CODE.csv.gz

LINEAR_OPS has columns hardware, model, layers, tp, num_tokens, ms_per_layer: sums of the medians of the linear, norm, rope and
activation kernels of one layer, from microsoft/vidur's `data/profiling/compute/{a100,h100}/*/mlp.csv` (snapshot 7d47513, MIT).
CONV and CODE have columns t_s, context_tokens, generated_tokens: AzureLLMInferenceTrace_{conv,code}.csv of
Azure/AzurePublicDataset (snapshot b469a11, CC-BY 4.0), with times rounded to a millisecond.

A profile is written once and then kept by hand: this says where its numbers come from.
"""

import csv
import gzip
import sys
from pathlib import Path

HERE = Path(__file__).parent.parent / "src/slackwater/adapters/modelled_engine"
VIDUR = "github.com/microsoft/vidur, data/profiling/compute (snapshot 7d47513), medians"
# Points above are for models that are prefilled whole, which no profile here does.
TOKENS_MAX = 16384

# name: (about, source, measured series, factor, milliseconds added, capacity, bytes of KV a token on one GPU, bytes a second,
#        operations of attention a pair on one GPU, operations a second)
PROFILES = {
    "a100-8b": (
        "Llama-3-8B in bf16 on one A100 with 80 GB, vLLM's default options",
        f"{VIDUR}: A100, Meta-Llama-3-8B, 32 layers; plus the output layer, 128256 * 4096 * 2 bytes at 1.6 TB/s = 0.65 ms",
        ("a100", "Meta-Llama-3-8B", 1, 1.0, 0.65),
        (430_000, 256, 2048),
        (131072, 1.4e12, 4 * 4096 * 32, 150e12),
    ),
    "a100-40g": (
        "Llama-3-8B in bf16 on one A100 with 40 GB: as a100-8b, and short of memory",
        f"{VIDUR}: A100, Meta-Llama-3-8B, 32 layers; plus the output layer, 128256 * 4096 * 2 bytes at 1.6 TB/s = 0.65 ms",
        ("a100", "Meta-Llama-3-8B", 1, 1.0, 0.65),
        (150_000, 256, 2048),
        (131072, 1.4e12, 4 * 4096 * 32, 150e12),
    ),
    "h100-8b": (
        "Llama-3-8B in bf16 on one H100, vLLM's default options but 256 sequences",
        f"{VIDUR}: H100, Llama-2-7b, 32 layers, times 1.078 (parameters of a layer); plus the output layer, 0.40 ms",
        ("h100", "Llama-2-7b", 1, 1.078, 0.40),
        (430_000, 256, 8192),
        (131072, 2.35e12, 4 * 4096 * 32, 350e12),
    ),
    "h100-70b-tp8": (
        "Llama-3-70B in bf16 on eight H100 (tensor parallel 8), vLLM's default options but 256 sequences",
        f"{VIDUR}: H100, Llama-2-70b, tensor parallel 8, 80 layers; plus 6 ms for the all-reduces of a step",
        ("h100", "Llama-2-70b", 8, 1.0, 6.0),
        (1_300_000, 256, 8192),
        (327680 // 8, 2.35e12, 4 * 8192 * 80 // 8, 350e12),
    ),
}


def main() -> None:
    linear, *traces = sys.argv[1:]
    with gzip.open(linear, "rt") as lines:
        rows = list(csv.DictReader(lines))
    for name, (about, source, series, capacity, costs) in PROFILES.items():
        points = points_of(rows, *series)
        (HERE / "profiles" / f"{name}.toml").write_text(profile(name, about, source, points, capacity, costs), "utf-8")
    for name, path in zip(("conv", "code"), traces, strict=True):
        with gzip.open(path, "rt") as lines:
            data = columns(list(csv.DictReader(lines))).encode()
        with (HERE / "traces" / f"azure_2023_{name}.gz").open("wb") as file:
            file.write(gzip.compress(data, 9, mtime=0))


def points_of(
    rows: list[dict[str, str]], hardware: str, model: str, tp: int, factor: float, added: float
) -> list[tuple[int, float]]:
    """Tokens in a step and milliseconds of all layers."""
    return sorted(
        (int(row["num_tokens"]), round(float(row["ms_per_layer"]) * int(row["layers"]) * factor + added, 9))
        for row in rows
        if (row["hardware"], row["model"], int(row["tp"])) == (hardware, model, tp)
        and int(row["num_tokens"]) <= TOKENS_MAX
    )


def profile(name: str, about: str, source: str, points: list, capacity: tuple, costs: tuple) -> str:
    kv_tokens, seqs, batched = capacity
    kv_bytes, bandwidth, operations, speed = costs
    return f'''# {about}.
# The form of this file is described in docs/sim-engine.md; scripts/make_engine_profiles.py says where the numbers come from.
name = "{name}"
about = "{about}"
source = "{source}"
licence = "MIT"

[capacity]
kv_tokens = {kv_tokens}
max_num_seqs = {seqs}
max_num_batched_tokens = {batched}

[seconds]
per_step = 1.0e-3
per_sequence = 8.0e-6
# {kv_bytes} bytes of keys and values at {bandwidth:g} bytes/s, which is 70 % of the memory's peak.
per_context_token = {kv_bytes / bandwidth!r}
# {operations} operations at {speed:g} a second.
per_attention_pair = {operations / speed!r}

[linear]
tokens = {wrapped([str(tokens) for tokens, _ in points])}
milliseconds = {wrapped([f"{time:.12g}" for _, time in points])}
'''


def wrapped(words: list[str]) -> str:
    lines = [", ".join(words[index : index + 16]) for index in range(0, len(words), 16)]
    return "[\n    " + ",\n    ".join(lines) + ",\n]"


def columns(rows: list[dict[str, str]]) -> str:
    """Milliseconds since the arrival before, tokens of prompts, tokens of answers: a line each."""
    times = [round(float(row["t_s"]) * 1000) for row in rows]
    gaps = [after - before for before, after in zip([0, *times], times, strict=False)]
    prompts, outputs = ([row[name] for row in rows] for name in ("context_tokens", "generated_tokens"))
    return "\n".join(",".join(map(str, line)) for line in (gaps, prompts, outputs)) + "\n"


if __name__ == "__main__":
    main()
