"""A metrics page, read as Prometheus reads it."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPMessage

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


class Page:
    """What one scrape brought."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {family.name: family for family in text_string_to_metric_families(text)}

    def samples(self) -> Iterator[Sample]:
        """Every sample of every family."""
        for family in self.families.values():
            yield from family.samples

    def value(self, name: str, **labels: str) -> float:
        """The one sample of this name with these labels."""
        found = [each.value for each in self.samples() if each.name == name and labels.items() <= each.labels.items()]
        assert len(found) == 1, f"{name} {labels}: {found}"
        return found[0]


def get(url: str, **headers: str) -> tuple[int, HTTPMessage, str]:
    """One GET, whatever is answered."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def scrape(url: str, **headers: str) -> Page:
    """The page at a URL, which must be there."""
    status, _, text = get(url, **headers)
    assert status == 200, text
    return Page(text)
