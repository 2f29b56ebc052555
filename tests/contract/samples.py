"""Comparing what the server says with what was recorded: the same keys, the same types, the same words where words count.

A difference that is meant is listed where it is expected, with its reason; one that is listed and does not show is an error,
so the lists cannot outlive what they excuse.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tests.contract.exchange import Answer

SAMPLES = Path(__file__).parent.parent / "samples"
# Keys whose values are part of the contract, and not only their types.
WORDS = frozenset({"object", "status", "completion_window", "endpoint", "purpose", "deleted", "code", "type", "param"})
KINDS = {
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}

Replay = TypeVar("Replay", bound=Callable[..., None])
REPLAYED: set[str] = set()


class Difference(NamedTuple):
    """Where ours differs from the recording on purpose: at these places, so, because."""

    places: tuple[str, ...]
    recorded: str
    ours: str
    why: str


class Found(NamedTuple):
    """One place where ours differs."""

    place: str
    recorded: str
    ours: str


# Differences that many samples share.
SUPERSET = Difference(
    ("*model", "*usage"),
    "absent",
    "*",
    "One object with the keys of both vendors: clients ignore what they do not know (spec 3.2).",
)
MODEL = Difference(("*model",), "absent", "*", "Recordings before 2025 lack the key; later ones have it (spec 3.2).")
NO_EMPTY_IDS = Difference(
    ("*output_file_id", "*error_file_id"),
    "string",
    "null",
    "An id that is not there yet is null, as the specifications type it; the service writes '' (spec 3.2).",
)


def replays(*names: str) -> Callable[[Replay], Replay]:
    """Says which samples a test replays; tests/contract/test_samples.py looks whether every sample is."""

    def remember(test: Replay) -> Replay:
        REPLAYED.update(names)
        return test

    return remember


def sample(name: str) -> Any:
    """A sample, parsed."""
    return json.loads((SAMPLES / name).read_text("utf-8"))


def sample_lines(name: str) -> list[Any]:
    """The lines of a sample of a JSONL file."""
    return [json.loads(line) for line in (SAMPLES / name).read_text("utf-8").splitlines()]


def agree(recorded: Any, ours: Any, *differences: Difference) -> None:
    """Ours has the keys, the types and the words of the recording, but for the differences, all of which are needed."""
    found = list(differing(recorded, ours))
    unlisted = [each for each in found if not any(_covers(difference, each) for difference in differences)]
    idle = [difference for difference in differences if not any(_covers(difference, each) for each in found)]
    assert not unlisted, f"differs from the recording: {unlisted}; ours: {ours}"
    assert not idle, f"listed as different, but it agrees: {idle}"


def _covers(difference: Difference, found: Found) -> bool:
    return (
        any(fnmatch(found.place, place) for place in difference.places)
        and fnmatch(found.recorded, difference.recorded)
        and fnmatch(found.ours, difference.ours)
    )


def differing(recorded: Any, ours: Any, place: str = "") -> Iterator[Found]:
    """Every place where the two differ."""
    before, after = KINDS[type(recorded)], KINDS[type(ours)]
    if before != after:
        yield Found(place, before, after)
    elif isinstance(recorded, dict):
        yield from _differing_objects(recorded, ours, place)
    elif isinstance(recorded, list) and recorded:
        # What was recorded stands for all: every item of ours is of the shape of the first one.
        for item in ours:
            yield from differing(recorded[0], item, f"{place}.*")
    elif place.rpartition(".")[2] in WORDS and recorded != ours:
        yield Found(place, f"={recorded}", f"={ours}")


def _differing_objects(recorded: Mapping[str, Any], ours: Mapping[str, Any], place: str) -> Iterator[Found]:
    inside = f"{place}." if place else ""
    if place.endswith("metadata"):
        # A user's own names.
        return
    for key in recorded.keys() | ours.keys():
        if key not in ours:
            yield Found(inside + key, KINDS[type(recorded[key])], "absent")
        elif key not in recorded:
            yield Found(inside + key, "absent", KINDS[type(ours[key])])
        else:
            yield from differing(recorded[key], ours[key], inside + key)


# Headers of recordings that are not ours to send.
UNSENT: dict[str, str] = {
    "strict-transport-security": "Belongs to whoever ends TLS in front of the service.",
    "x-ms-region": "The name of a region; there is none here.",
    "request-context": "Names an internal application of the vendor.",
    "mise-correlation-id": "Names an internal request of the vendor; x-request-id is ours.",
    "x-ms-middleware-request-id": "Names an internal request of the vendor; x-request-id is ours.",
    "x-aml-cluster": "Names a machine of the vendor.",
    "x-ms-response-type": "Says `standard` and nothing else.",
    "x-request-time": "How long the vendor took; nobody reads it.",
    "x-envoy-upstream-service-time": "A proxy of the vendor.",
    "openai-organization": "There are no organisations.",
    "openai-project": "There are no projects.",
    "openai-processing-ms": "How long the vendor took; nobody reads it.",
    "openai-version": "A constant of 2020 that no client reads.",
    "vary": "Belongs to whoever compresses in front of the service.",
    "transfer-encoding": "How a body is framed is between the two ends of a connection.",
}
# Headers whose whole value is part of the contract.
EXACT = frozenset({"content-type", "x-content-type-options"})


def headers_agree(recorded: Mapping[str, str], answer: Answer, *, unlike: Sequence[str] = ()) -> None:
    """Every recorded header is there, or is none of ours to send; `unlike` names those whose values are compared apart."""
    for name, value in recorded.items():
        name = name.lower()
        if name in UNSENT:
            continue
        assert name in answer.headers, f"{name} is missing; there are {sorted(answer.headers)}"
        if name in EXACT and name not in unlike:
            assert answer.headers[name] == value, name
