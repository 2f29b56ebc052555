"""What tests of single pages look at besides what they are about."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
THEMES = ("light", "dark")


def faults(page: Page) -> list[tuple[str, list[str]]]:
    """What axe finds serious in the page as it is now, dialogs included, in both themes; and what is wider than the screen."""
    found: list[tuple[str, list[str]]] = []
    for theme in THEMES:
        page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        found += [
            (f"{theme} {each['id']}", [node["html"][:160] for node in each["nodes"]])
            for each in Axe().run(page).response["violations"]
            if each["impact"] in ("serious", "critical")
        ]
    if page.evaluate(OVERFLOW) > 0:
        found.append(("wider than the screen", []))
    return found
