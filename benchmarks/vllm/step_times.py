"""A profile of the modelled engine (docs/sim-engine.md) as a file for `slow_steps.py`, which cannot import ours."""

import json
from pathlib import Path

from slackwater.core.engine_model import Profile


def write_step_times(profile: Profile, path: Path, *, slower: float) -> None:
    """Writes it, with every time so many times as long: two cores need some of it for the tiny model itself."""
    cost = profile.step_time
    path.write_text(
        json.dumps(
            {
                "linear": [seconds * slower for seconds in cost.linear],
                "per_context_token": cost.per_context_token * slower,
                "per_attention_pair": cost.per_attention_pair * slower,
                "per_step": cost.per_step * slower,
                "per_sequence": cost.per_sequence * slower,
            }
        )
    )
