"""How much a request may generate, as it says itself: what vendors count against a quota before anything is generated."""

import re

# A quote inside a text is written with a backslash, so this is never found in what a user says.
_MOST = re.compile(rb'(?<!\\)"(?:max_tokens|max_completion_tokens|max_output_tokens)"\s*:\s*(\d{1,9})(?![\d.eE])')
_CHOICES = re.compile(rb'(?<!\\)"n"\s*:\s*(\d{1,3})(?![\d.eE])')


def generated_max(body: bytes) -> int | None:
    """The tokens that a request allows to be generated, over all of its choices; None where it does not say."""
    found = _MOST.search(body)
    if found is None:
        return None
    choices = _CHOICES.search(body)
    return int(found[1]) * max(1, int(choices[1]) if choices is not None else 1)
