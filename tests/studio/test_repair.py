"""Create with files that are wrong as a whole: a copy is put right, named as one, and the file itself stays."""

import json

import pytest
from playwright.sync_api import Page, expect

from tests.api.calls import Caller, chat
from tests.studio.conftest import DESK, OpenPage, Watch
from tests.studio.files import upload
from tests.studio.looking import faults

pytestmark = pytest.mark.studio

PHONE = (390, 844)
ODD = chat(3, text='Is 9007199254740993 {"odd"}? 😀\n')


def sent(call: Caller) -> list[tuple[str, list[object]]]:
    """The files that the service has, and the requests in each."""
    files = call("GET", "/files").json["data"]
    return [
        (each["filename"], [json.loads(line) for line in call("GET", f"/files/{each['id']}/content").body.splitlines()])
        for each in files
    ]


def choose(page: Page, data: bytes, name: str = "questions.jsonl") -> None:
    """As somebody does on the page."""
    page.get_by_label("Choose a .jsonl file").set_input_files(upload(data, name))


def test_text_that_is_no_json_lines_becomes_some(open_page: OpenPage, call: Caller) -> None:
    """A byte order mark, UTF-16, an array, objects over several lines: nothing is sent before the button is pressed."""
    requests = [json.loads(line) for line in ODD.splitlines()]
    wrong = {
        "begins with a byte order mark": b"\xef\xbb\xbf" + ODD,
        "is written in UTF-16": ODD.decode().encode("utf-16"),
        "UTF-16": ODD.decode().encode("utf-16-be"),
        "is one JSON array": json.dumps(requests, indent=2, ensure_ascii=False).encode(),
        "has JSON objects over several lines": "\n".join(json.dumps(each, indent=1) for each in requests).encode(),
    }
    page = open_page("/batches/new")
    for number, (words, data) in enumerate(wrong.items()):
        choose(page, data)
        expect(page.get_by_text(words)).to_be_visible()
        assert call("GET", "/files").json["data"] == []
        if number == 0:
            assert faults(page) == []
        page.get_by_role("button", name="Repair a copy").click()
        expect(page.get_by_text("No faults in 3 requests.")).to_be_visible()
        assert sent(call) == [("questions-repaired.jsonl", requests)]
        with page.expect_response(lambda answer: answer.request.method == "DELETE"):
            page.get_by_role("button", name="Choose another file").click()
        expect(page.locator(".drop")).to_be_visible()


def test_lines_get_what_they_lack_one_thing_after_the_other(open_page: OpenPage, call: Caller) -> None:
    """A custom_id, then a model; ids that are there stay, and none is there twice. A file that was there stays."""
    lines = [json.loads(line) for line in chat(4).splitlines()]
    lines[0]["custom_id"] = "request-2"
    del lines[1]["custom_id"], lines[2]["custom_id"]
    for line in lines:
        del line["body"]["model"]
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    original = call.upload(data, name="half.jsonl").json["id"]
    page = open_page(f"/batches/new?file={original}", theme="dark", size=PHONE)
    expect(page.get_by_text("Some lines have no custom_id.")).to_be_visible()
    assert faults(page) == []
    page.get_by_role("button", name="Repair a copy").click()
    page.get_by_label("Use this deployment instead").select_option("demo-batch")
    page.get_by_role("button", name="Change and check").click()
    expect(page.get_by_text("No faults in 4 requests.")).to_be_visible()
    found = dict(sent(call))
    assert sorted(found) == ["half-repaired.jsonl", "half.jsonl"]
    assert [each["custom_id"] for each in found["half-repaired.jsonl"]] == [
        "request-2",
        "request-2-2",
        "request-3",
        "task-3",
    ]
    assert found["half.jsonl"] == lines


def test_a_table_is_not_guessed_at(open_page: OpenPage, call: Caller) -> None:
    """What to do with it is said; nothing is sent."""
    page = open_page("/batches/new")
    choose(page, b"id,text\n1,Why?\n", "my table.csv")
    expect(page.get_by_text('slackwater prepare "my table.csv"')).to_be_visible()
    expect(page.get_by_role("button", name="Repair a copy")).to_have_count(0)
    assert call("GET", "/files").json["data"] == []


def test_not_now_leaves_nothing_behind(open_page: OpenPage, call: Caller, watch: Watch) -> None:
    """What this page has sent goes; what was there before stays, and so does what a job was made of meanwhile."""
    there = call.upload(chat(2), name="there.jsonl").json["id"]
    page = open_page(f"/batches/new?file={there}")
    expect(page.get_by_text("No faults in 2 requests.")).to_be_visible()
    page.get_by_role("button", name="Not now").click()
    expect(page.get_by_role("heading", name="Batch jobs", exact=True)).to_be_visible()
    page.get_by_role("link", name="Create batch job").first.click()
    for used in (False, True):
        choose(page, chat(3))
        expect(page.get_by_text("No faults in 3 requests.")).to_be_visible()
        (mine,) = [
            each["id"]
            for each in call("GET", "/files").json["data"]
            if each["purpose"] == "batch" and each["id"] != there
        ]
        if used:
            order = {"input_file_id": mine, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
            call.ended(call("POST", "/batches", order).json["id"])
        page.get_by_role("button", name="Not now").click()
        expect(page.get_by_role("heading", name="Batch jobs", exact=True)).to_be_visible()
        left = {each["id"] for each in call("GET", "/files").json["data"] if each["purpose"] == "batch"}
        assert left == ({there, mine} if used else {there})
        page.get_by_role("link", name="Create batch job").first.click()


def test_what_it_will_cost_and_take(open_page: OpenPage, call: Caller) -> None:
    """Not known before something was measured, nor after a moment's work: a mean of that says next to nothing."""
    page = open_page("/batches/new")
    choose(page, chat(2, model="slow-batch"))
    expect(page.get_by_text("not known: too little was answered lately")).to_be_visible()
    expect(page.get_by_text("not known before they are there")).to_be_visible()
    call.ended(call.create(chat(4, model="slow-batch")).json["id"])
    page.reload()
    choose(page, chat(2, model="slow-batch"))
    expect(page.get_by_text("not known: too little was answered lately")).to_be_visible()


def test_several_files_are_deleted_at_once(open_page: OpenPage, call: Caller) -> None:
    """All that are shown, or some; what jobs have of them is said before."""
    ended = call.ended(call.create(chat(1)).json["id"])
    for number in range(4):
        call.upload(chat(1), name=f"more-{number}.jsonl")
    page = open_page("/files", size=DESK)
    page.get_by_label("Choose more-0.jsonl").check()
    page.get_by_label("Choose more-1.jsonl").check()
    expect(page.get_by_text("2 chosen")).to_be_visible()
    assert faults(page) == []
    page.get_by_role("button", name="Delete 2 files").click()
    dialog = page.get_by_role("dialog", name="Delete 2 files?")
    expect(dialog.get_by_text("No job uses any of them.")).to_be_visible()
    dialog.get_by_role("button", name="Delete them").click()
    expect(page.get_by_label("Choose more-0.jsonl")).to_have_count(0)
    page.get_by_label("Choose all files that are shown").check()
    page.get_by_role("button", name="Delete 4 files").click()
    dialog = page.get_by_role("dialog", name="Delete 4 files?")
    expect(dialog.get_by_text("only by paying for a new job")).to_be_visible()
    assert faults(page) == []
    dialog.get_by_role("button", name="Delete them").click()
    expect(page.get_by_role("heading", name="No files yet")).to_be_visible()
    assert call("GET", f"/batches/{ended['id']}").json["status"] == "completed"
    looked = open_page("/files", theme="dark", size=PHONE)
    expect(looked.get_by_role("heading", name="No files yet")).to_be_visible()
