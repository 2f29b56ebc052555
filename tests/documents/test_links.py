"""Links of the documentation lead to files and headings that there are."""

import re

from tests.documents.reading import ROOT, pages

LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """What GitHub calls the headings of a page."""
    named = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in HEADING.findall(text))
    return {re.sub(r"[^\w\- ]", "", each.strip().lower()).replace(" ", "-") for each in named}


def test_links_lead_somewhere() -> None:
    """Those to elsewhere are not followed."""
    lost = []
    for page in [*pages(), ROOT / "benchmarks" / "README.md"]:
        for link in LINK.findall(page.read_text("utf-8")):
            name, _, anchor = link.partition("#")
            target = (page.parent / name) if name else page
            if link.startswith(("http:", "https:", "mailto:")):
                continue
            known = target.exists() and (
                not anchor or target.suffix != ".md" or anchor in anchors(target.read_text("utf-8"))
            )
            if not known:
                lost.append(f"{page.relative_to(ROOT)}: {link}")
    assert not lost, "\n".join(lost)


def test_the_pages_of_engines_are_in_the_table() -> None:
    """README has a row for each."""
    readme = (ROOT / "README.md").read_text("utf-8")
    assert [
        each.stem
        for each in sorted((ROOT / "docs/engines").glob("*.md"))
        if f"(docs/engines/{each.name})" not in readme
    ] == []


def test_what_readme_has_to_say() -> None:
    """The two commands with which somebody sees that it works."""
    assert all(
        f"`{command}`" in (ROOT / "README.md").read_text("utf-8") for command in ("make test", "make test-studio")
    )
