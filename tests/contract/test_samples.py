"""No recording is forgotten: each is replayed by a test, or is listed here with the reason why it is not."""

from tests.contract import (
    test_azure_samples,
    test_error_samples,
    test_openai_samples,
    test_window_samples,
)
from tests.contract.samples import REPLAYED, SAMPLES, UNSENT, sample

REPLAYING = (test_azure_samples, test_error_samples, test_openai_samples, test_window_samples)
NOT_REPLAYED = {
    "azure/batch_early_2024_rest_shape.json": "Stale: the shape of the first days of the first preview (spec 11.2, 1).",
    "azure/error_404_deployment_not_found.json": "An answer of online inference, which is not offered.",
    "azure/error_429_rate_limit.json": "An answer of online inference, which is not offered; this API has no rate limit.",
    "openai/batch_expired_output_file.json": "An anomaly: the expired lines of one batch came in the output file (spec 4.3).",
}


def test_every_sample_is_replayed_or_listed() -> None:
    """A new recording needs a test or a reason."""
    assert all(module.__doc__ for module in REPLAYING)
    samples = {
        path.relative_to(SAMPLES).as_posix() for name in ("azure", "openai") for path in (SAMPLES / name).iterdir()
    }
    assert samples == REPLAYED | set(NOT_REPLAYED)
    assert not REPLAYED & set(NOT_REPLAYED)


def test_every_unsent_header_was_recorded() -> None:
    """The list of headers that are not ours to send names none that no recording has."""
    recorded = {
        name.lower()
        for path in SAMPLES.glob("*/*.json")
        if path.parent.name in ("azure", "openai") and "raw" not in path.name
        for body in [sample(f"{path.parent.name}/{path.name}")]
        if isinstance(body, dict)
        for name in body.get("headers", {})
    }
    assert set(UNSENT) <= recorded
