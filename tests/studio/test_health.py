"""Nothing comforts falsely: engines in every mood, and what the pages say of them, of their jobs, and when they come back."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.api.calls import Caller, chat
from tests.moody_engine import HANGS_UP, SILENT, WELL, MoodyEngine
from tests.server import Server
from tests.studio.conftest import OpenPage, serve
from tests.studio.files import faulty, upload
from tests.studio.looking import faults
from tests.studio.test_job import SHIFTS

pytestmark = pytest.mark.studio

# A deployment for each: how its engine answers, the pill of the deployment, what is said of it there, and in the list of jobs.
MOODS: dict[str, tuple[str | int, str, str, str]] = {
    "failing": (500, "Down", "answers 500", "Engine answers 500"),
    "hanging": (HANGS_UP, "Down", "hangs up", "Engine hangs up"),
    "keyless": (401, "Refusing", "refuses the service’s calls (401)", "Engine refuses calls (401)"),
    "modelless": (404, "Refusing", "refuses the service’s calls (404)", "Engine refuses calls (404)"),
    "penniless": (402, "Blocked", "may not go on: its account is used up (402)", "Engine may not go on (402)"),
    "restless": (429, "Waiting", "has asked to be left alone", "Engine asks for a pause"),
    "held": (WELL, "Paused", "is paused", "Deployment is paused"),
}
SHIFT_SUM = "window.shifts.reduce((sum, each) => sum + each, 0)"


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, MoodyEngine]]:
    """One for each deployment, and two more."""
    moods = {name: mood for name, (mood, *_) in MOODS.items()} | {"silent": SILENT, "well": WELL}
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(MoodyEngine(mood)) for name, mood in moods.items()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, engines: dict[str, MoodyEngine]) -> Iterator[Server]:
    """A server over all of them, one of its deployments over two."""
    backends = {name: [engine] for name, engine in engines.items()} | {"half": [engines["well"], engines["failing"]]}
    more = "".join(
        f'[[deployments]]\nname = "{name}"\n'
        + "".join(f'[[deployments.backends]]\nurl = "{each.url}"\nconcurrency = 2\n' for each in of)
        for name, of in backends.items()
    )
    server = serve(tmp_path_factory.mktemp("health"), more=more)
    yield server
    # A gentle stop would wait for calls that are never answered.
    server.kill()


@pytest.fixture(scope="module")
def jobs(server: Server) -> dict[str, str]:
    """A job for each deployment, in the moods that they have at first."""
    call = Caller(server, "azure-v1")
    call("POST", "/deployments/held/pause", {"reason": "new weights"})
    return {name: call.create(chat(6, model=name)).json["id"] for name in [*MOODS, "silent", "well", "half"]}


def _fine(page: Page) -> None:
    assert faults(page) == []


def test_every_state_is_said_on_every_page(open_page: OpenPage, call: Caller, jobs: dict[str, str]) -> None:
    """In the list, on the pages of jobs and deployments, and in choices: what is wrong, since when, what happens next."""
    call.ended(jobs["well"])
    page = open_page()
    for name, (_, _, _, brief) in MOODS.items():
        row = page.locator("tr", has_text=jobs[name])
        expect(row.locator(".pill")).to_have_text("Waiting")
        link = row.locator("a.waits-for")
        expect(link).to_contain_text(brief)
        expect(link).to_have_attribute("href", f"/studio/deployments?search={name}")
    expect(page.locator("tr", has_text=jobs["silent"]).locator("a.waits-for")).to_contain_text("No answer for")
    expect(page.locator("tr", has_text=jobs["well"]).locator(".pill")).to_have_text("Completed")
    trouble = page.locator(".trouble")
    expect(trouble).to_contain_text(re.compile("^The engine of (failing|hanging) (answers 500|hangs up) since"))
    expect(trouble.get_by_role("link", name=re.compile("more"))).to_have_attribute("href", "/studio/deployments")
    _fine(page)

    page.goto("/studio/deployments")
    for name, (_, pill, said, _) in MOODS.items():
        card = page.get_by_role("region", name=name, exact=True)
        expect(card.locator("header .pill.health")).to_have_text(pill)
        expect(card.locator(".deployment-now")).to_contain_text(f"{name} {said}")
        expect(card.locator(".deployment-now")).to_contain_text("since")
    half = page.get_by_role("region", name="half", exact=True)
    expect(half.locator("header .pill.health")).to_have_text("Degraded")
    expect(half.locator(".deployment-now")).to_contain_text("1 of 2 backends of half takes nothing")
    silent = page.get_by_role("region", name="silent", exact=True)
    expect(silent.locator("header .pill.health")).to_have_text("No answer")
    expect(silent.get_by_text("2 requests are out, and nothing comes back")).to_be_visible()
    # Nobody has asked it anything, so nobody knows.
    unasked = page.get_by_role("region", name="demo-batch", exact=True)
    expect(unasked.locator("header .pill.health")).to_have_text("Ready")
    expect(page.locator(".trouble")).to_contain_text("The engine of")
    _fine(page)

    page.goto(f"/studio/batches/{jobs['failing']}")
    waiting = page.locator(".waiting-on")
    expect(waiting).to_contain_text("The engine of failing answers 500 since")
    expect(waiting).to_contain_text(re.compile("next try in|it is being tried now"))
    expect(waiting).to_contain_text("CUDA error: out of memory")
    expect(waiting.get_by_role("link", name="failing")).to_have_attribute("href", "/studio/deployments?search=failing")
    expect(page.locator(".lines")).to_contain_text("Nothing of this job is sent at the moment")
    _fine(page)
    page.goto(f"/studio/batches/{jobs['silent']}")
    expect(page.get_by_text(re.compile("No answer for .* s"))).to_be_visible()
    expect(page.locator(".how-now")).to_contain_text("2 requests are out for silent, of this job and others.")
    expect(page.get_by_text("Time left: not known yet")).to_be_visible()

    # A deployment serves while it has answered somebody in the last minute.
    call.ended(call.create(chat(1, model="well")).json["id"])
    page.goto("/studio/batches/new")
    page.get_by_label("Choose a .jsonl file").set_input_files(upload(chat(2, model="failing")))
    choices = page.get_by_label("Send it to another deployment")
    expect(choices.locator("option").first).to_have_text("As the file says: failing · Down, answers 500")
    expect(choices.locator("option").nth(1)).to_have_text("well · Serving")
    expect(page.locator("#create-why")).to_contain_text("the job will wait: The engine of failing answers 500 since")
    _fine(page)
    page.get_by_role("button", name="Choose another file").click()
    page.get_by_label("Choose a .jsonl file").set_input_files(upload(chat(2, model="nobody")))
    expect(page.get_by_label("Use this deployment instead")).to_have_value("well")


# What else a job may wait for than its engine: what it is, how that is, what the server says of it, and the words for it.
HELD_BACK = [
    (
        "batch",
        "busy",
        "status 429 (slow down)",
        "What is left of this job is told to wait since",
        "The rest is told to wait",
    ),
    ("batch", "down", "status 500 (boom)", "What is left of this job fails (500) since", "The rest fails (500)"),
    ("batch", "refusing", "status 403", "What is left of this job is refused (403) since", "The rest is refused (403)"),
    (
        "disk",
        "down",
        "There is no room on the disk",
        "The disk of the service has no room for answers",
        "Disk has no room",
    ),
    ("content_filter", "down", "nobody there", "The content filter of failing is down", "Content filter is down"),
    (
        "engine",
        "busy",
        "Calls of others",
        "The engine of failing is taken by others, and answers nobody",
        "Engine is taken",
    ),
]


@pytest.mark.parametrize(("what", "health", "reason", "said", "brief"), HELD_BACK)
def test_a_job_that_is_held_back_alone_says_so(
    open_page: OpenPage, call: Caller, jobs: dict[str, str], what: str, health: str, reason: str, said: str, brief: str
) -> None:
    """Each reason has words of its own, on the job's page and in its row."""
    page, job = open_page(), jobs["failing"]
    # Asked for here and not by the browser: what a page asked for is gone when it goes elsewhere meanwhile.
    rows, one = call("GET", "/batch_overview").json, call("GET", f"/batches/{job}/progress").json

    def told(found: dict[str, Any]) -> dict[str, Any]:
        waiting = {"what": what, "health": health, "reason": reason, "backend": None, "until": None, "who": None}
        return found | {"waiting_on": waiting | {"since": found.get("created_at") or 1_790_000_000}}

    told_rows = rows | {"data": [told(row) if row["id"] == job else row for row in rows["data"]]}
    page.route(f"**/batches/{job}/progress*", lambda route: route.fulfill(json=told(one)))
    page.route("**/batch_overview*", lambda route: route.fulfill(json=told_rows))
    page.reload()
    expect(page.locator("tr", has_text=job).locator(".waits-for")).to_contain_text(brief)
    page.goto(f"/studio/batches/{job}")
    expect(page.locator(".waiting-on")).to_contain_text(said)
    expect(page.locator(".waiting-on").get_by_text("and others are answered")).to_have_count(int(what == "batch"))
    _fine(page)


def test_what_comes_back_is_said_and_nothing_jumps(
    open_page: OpenPage, call: Caller, engines: dict[str, MoodyEngine], jobs: dict[str, str]
) -> None:
    """An engine that works again is tried by hand and by itself; its job goes on; what is read meanwhile stays where it is."""
    job, several, all_of_them = open_page(f"/batches/{jobs['failing']}"), open_page(), open_page("/deployments")
    expect(job.locator(".waiting-on")).to_be_visible()
    expect(several.locator("a.waits-for").first).to_be_visible()
    expect(all_of_them.locator(".engines tbody tr").first).to_be_visible()
    for page in (job, several, all_of_them):
        page.evaluate(SHIFTS)
    for engine in engines.values():
        engine.mood = WELL
    call("POST", "/deployments/held/resume")
    job.get_by_role("button", name="Look at once whether the engine works again").click()
    expect(job.locator(".heading .pill")).to_have_text("Completed")
    for name in MOODS:
        call("POST", f"/deployments/{name}/try")
    for name in MOODS:
        expect(several.locator("tr", has_text=jobs[name]).locator(".pill")).to_have_text("Completed")
        card = all_of_them.get_by_role("region", name=name, exact=True)
        expect(card.locator("header .pill.health")).to_have_text("Serving")
    expect(several.locator(".trouble")).to_have_text("Nothing is known to be wrong with the deployments.")
    for page in (job, several, all_of_them):
        assert page.evaluate(SHIFT_SUM) < 0.02


def test_a_pace_by_command_is_told_with_the_configured_one(
    open_page: OpenPage, call: Caller, engines: dict[str, MoodyEngine]
) -> None:
    """What an operator has said while the service ran hides the configuration: both are there, until it is taken back."""
    address = engines["well"].url.removesuffix("/v1")
    path = f"/engines/{address.replace('://', ':')}/pace"
    assert call("POST", path, {"pace": "fixed"}).status == 200
    row = open_page("/deployments").locator(".engines tbody tr", has_text=address)
    expect(row.locator(".engine-pace")).to_have_text("Pace fixed, by command; configured: gentle")
    assert call("POST", path, {"pace": "configured"}).status == 200
    row = open_page("/deployments").locator(".engines tbody tr", has_text=address)
    expect(row.locator(".engine-pace")).not_to_contain_text("command")


def test_engines_are_paused_and_resumed(open_page: OpenPage, call: Caller, engines: dict[str, MoodyEngine]) -> None:
    """Whoever runs the service does that below the deployments; the deployments of the engine say so."""
    page = open_page("/deployments?search=well")
    address = engines["well"].url.removesuffix("/v1")
    page.get_by_role("button", name=f"Pause {address}").click()
    dialog = page.get_by_role("dialog", name=f"Pause {address}?")
    dialog.get_by_label("Reason").fill("new driver")
    dialog.get_by_role("button", name="Pause", exact=True).click()
    row = page.locator(".engines tbody tr", has_text=address)
    expect(row.locator(".pill")).to_have_text("Paused")
    expect(row).to_contain_text("new driver")
    card = page.get_by_role("region", name="well", exact=True)
    expect(card.locator("header .pill.health")).to_have_text("Paused")
    expect(card.locator(".deployment-now")).to_contain_text("The engine of well is paused")
    _fine(page)
    row.get_by_role("button", name="Resume").click()
    expect(row.locator(".pill")).to_have_text("Ready")


def test_what_failed_and_what_never_ran_are_not_the_same(open_page: OpenPage, call: Caller) -> None:
    """A cancelled job has cancelled lines; one with failures is amber and can be listed; a refused one has no tick."""
    cancelled = call.create(chat(3, model="stuck-batch")).json["id"]
    broken = call.create(chat(3, model="broken-batch")).json["id"]
    shaky = call.create(chat(20, model="shaky-batch")).json["id"]
    refused = call.create(faulty()).json["id"]
    page = open_page(f"/batches/{cancelled}")
    expect(page.locator(".heading .pill")).to_have_text("In progress")
    expect(page.get_by_text("Nothing of it has been answered yet.").first).to_be_visible()
    call("POST", f"/batches/{cancelled}/cancel")
    expect(page.get_by_text("0 of 3 requests done, 3 cancelled")).to_be_visible()
    expect(page.locator(".line-table .pill")).to_have_text(["Cancelled"] * 3)
    expect(page.get_by_role("region", name="Cancelled requests")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="In progress").locator(".dot")).not_to_have_css(
        "color", "rgb(20, 108, 58)"
    )
    _fine(page)
    for batch_id in (broken, shaky, refused):
        call.ended(batch_id)
    page.goto("/studio")
    expect(page.locator("tr", has_text=cancelled)).to_contain_text("3 cancelled")
    expect(page.locator("tr", has_text=cancelled)).not_to_contain_text("failed")
    expect(page.locator("tr", has_text=broken).locator(".pill")).to_have_text("Completed, all 3 failed")
    page.get_by_role("button", name="With failures").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.locator("tr", has_text=shaky).locator(".pill")).to_have_class("pill warn")
    expect(page).to_have_url(re.compile("failures=yes"))
    _fine(page)
    page.goto(f"/studio/batches/{refused}")
    validating = page.get_by_role("listitem").filter(has_text="Validating")
    expect(validating).to_have_class(re.compile(r"\bbad\b"))
    expect(validating.locator(".dot")).to_have_css("color", "rgb(179, 38, 30)")
