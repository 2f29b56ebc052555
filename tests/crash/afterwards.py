"""What must hold when a story is at its end, wherever the server has died on the way.

Nothing is held for ever, nothing is counted twice, and each end was announced under one id. Everything is looked at from
outside: through the API, at the receiver, and in the data directory.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.api.receiver import Call, Receiver
from tests.crash.lives import Lives, Survivor
from tests.crash.story import ANSWERED, ENDED, EVENTS, LINES, Ended, Told

# What the story is to end as. The client's idempotency keys are the names.
ENDS = {
    "failures": "completed",
    "invalid": "failed",
    "cancelled": "cancelled",
    "first": "completed",
    "second": "completed",
    "again": "completed",
}
COMPLETED = {"failures": LINES - 2, "invalid": 0, "cancelled": ANSWERED, "first": LINES, "second": LINES, "again": 0}
# Half of the price for a million tokens: batches are cheaper by the discount that is the default.
INPUT, OUTPUT = Decimal("1.00") / 10**6, Decimal("1.50") / 10**6


def check(lives: Lives, receiver: Receiver, told: Told) -> None:
    """Everything."""
    azure, openai = Survivor(lives, "azure"), Survivor(lives, "openai")
    _ends(azure, told)
    for name, ended in told.ended.items():
        _lines(name, ended)
    _tokens_held(azure)
    _account(azure, told)
    _events(openai, receiver, told)
    _audit(openai, lives)
    for log in lives.logs:
        _no_stumble(log)
    while left := left_over(lives.root / "data", lives.database):
        # The janitor may still be at it; what it never comes to is left for ever.
        try:
            lives.pace()
        except AssertionError as error:
            raise AssertionError(f"left for ever: {left}") from error


def _ends(azure: Survivor, told: Told) -> None:
    """Each create has made one batch, and it has ended once, as it should."""
    listed = azure("GET", "/batches", query="limit=100").json["data"]
    assert all(batch["status"] in ENDED for batch in listed), [batch["status"] for batch in listed]
    ids = {name: ended.batch["id"] for name, ended in told.ended.items()}
    assert sorted(batch["id"] for batch in listed) == sorted(ids.values()), "a create has made other batches than one"
    assert {name: ended.batch["status"] for name, ended in told.ended.items()} == ENDS
    for batch in listed:
        (seen,) = (ended.batch for ended in told.ended.values() if ended.batch["id"] == batch["id"])
        assert batch == seen, "a batch changed after its end"


def _lines(name: str, ended: Ended) -> None:
    """Each line is in one of the two files, once, and the counts are those of the files; what never ran did not fail."""
    lines = ended.output + ended.error
    assert sorted(line["custom_id"] for line in lines) == sorted(ended.custom_ids), f"{name}: lines"
    assert len({line["id"] for line in lines}) == len(lines), f"{name}: an id of a line is not unique"
    failed = [line for line in ended.error if (line["error"] or {}).get("code") != "batch_cancelled"]
    counts = {"total": len(lines), "completed": len(ended.output), "failed": len(failed)}
    assert ended.batch["request_counts"] == counts, f"{name}: counts {ended.batch['request_counts']}, files {counts}"
    assert len(ended.output) == COMPLETED[name], f"{name}: {len(ended.output)} lines were completed"


def _tokens_held(azure: Survivor) -> None:
    """Nothing that has ended holds tokens."""
    held = {each["name"]["value"]: each["currentValue"] for each in azure("GET", "/usages").json["value"]}
    tokens = {name: count for name, count in held.items() if not name.startswith("OpenAI.Files.")}
    assert len(tokens) == 3, held
    assert not any(tokens.values()), f"tokens are held for ever: {tokens}"


def _account(azure: Survivor, told: Told) -> None:
    """The account of the days is the sum over the lines of the output files, each once; so is what each batch says."""
    whole: Counter[str] = Counter()
    for name, ended in told.ended.items():
        mine: Counter[str] = Counter(requests=len(ended.output), input_tokens=0, output_tokens=0)
        for line in ended.output:
            usage = line["response"]["body"]["usage"]
            mine += Counter(input_tokens=usage["prompt_tokens"], output_tokens=usage["completion_tokens"])
        cost = azure("GET", f"/batches/{ended.batch['id']}/cost").json["usage"]
        assert _figures(cost) == _expected(mine, priced=cost["currency"] is not None), f"{name} is charged wrongly"
        whole += mine
    (account,) = azure("GET", "/usage", query="group_by=").json["data"]
    assert _figures(account) == _expected(whole, priced=True), "the account is not that of the lines"


def _figures(row: Any) -> tuple[int, int, int, Decimal | None]:
    cost = None if row["cost"] is None else Decimal(row["cost"])
    return row["requests"], row["input_tokens"], row["output_tokens"], cost


def _expected(sums: Counter[str], *, priced: bool) -> tuple[int, int, int, Decimal | None]:
    cost = sums["input_tokens"] * INPUT + sums["output_tokens"] * OUTPUT if priced else None
    return sums["requests"], sums["input_tokens"], sums["output_tokens"], cost


def _events(openai: Survivor, receiver: Receiver, told: Told) -> None:
    """Every end has arrived at whoever wants to hear of it, at least once and always under the same id."""
    arrived: dict[tuple[str, str, str], list[Call]] = defaultdict(list)
    for call in [receiver.calls.get_nowait() for _ in range(receiver.calls.qsize())]:
        event = json.loads(call.body)
        arrived[call.path, event["type"], event["data"]["id"]].append(call)
    wanted = {("/all", f"batch.{ENDS[name]}", each.batch["id"]) for name, each in told.ended.items()}
    wanted |= {("/picky", "batch.failed", told.ended["invalid"].batch["id"])}
    assert set(arrived) == wanted, f"not heard of: {wanted - set(arrived)}; of what never was: {set(arrived) - wanted}"
    ids = {key: {call.id for call in calls} for key, calls in arrived.items()}
    assert all(len(each) == 1 for each in ids.values()), f"one event under several ids: {ids}"
    assert len({call.id for calls in arrived.values() for call in calls}) == len(wanted), "one id for several events"
    assert all(len({call.body for call in calls}) == 1 for calls in arrived.values()), "one id, several bodies"
    for path, endpoint_id in told.endpoints.items():
        listed = openai("GET", f"/webhook_endpoints/{endpoint_id}/deliveries", query="limit=100").json["data"]
        for each in listed:
            calls = arrived[path, each["event_type"], each["batch_id"]]
            assert {call.id for call in calls} == {each["id"]}
            assert each["state"] == "delivered", each
            assert 1 <= each["tries"] <= len(calls), f"{each['tries']} tries are counted, {len(calls)} have arrived"
        assert len(listed) == sum(key[0] == path for key in wanted), "a delivery is there twice"
    assert {kind.removeprefix("batch.") for kind in EVENTS} == set(ENDED), "every kind of end is listened to"


def _audit(openai: Survivor, lives: Lives) -> None:
    """One entry for each change that a caller was told of, and none twice; at most one for a call whose answer was lost."""
    seen: list[str] = []
    page: dict[str, Any] = {"last_id": "0", "has_more": True}
    while page["has_more"]:
        page = openai("GET", "/audit", query=f"limit=1000&after={page['last_id']}").json
        seen += [entry["request_id"] for entry in page["data"]]
    assert len(seen) == len(set(seen)), "a call is in the audit log twice"
    told = [request_id for _, request_id in lives.answered]
    missing = [what for what, request_id in lives.answered if request_id not in seen]
    assert not missing, f"not in the audit log: {missing}"
    assert len(seen) - len(told) <= lives.died, "the audit log has more entries than there were calls"


def _no_stumble(log: Path) -> None:
    """No stage has failed and no call: what would be tried again and succeed is a fault all the same."""
    faults = [line for line in log.read_text().splitlines() if " ERROR " in line]
    assert not faults, faults[0]


def left_over(data: Path, database: str = "") -> list[str]:
    """What nothing names any more: work of ended batches in the ledger, and bytes without a row."""
    ledger: Any
    if database:
        import psycopg

        ledger = psycopg.connect(database)
    else:
        ledger = sqlite3.connect(f"{(data / 'ledger.sqlite').absolute().as_uri()}?mode=ro", uri=True)
    try:
        rows = [
            f"{count} rows of {table}"
            for table in ("shard", "segment")
            for (count,) in ledger.execute(f"SELECT COUNT(*) FROM {table}")
            if count
        ]
        named = {key for (key,) in ledger.execute("SELECT blob FROM file UNION ALL SELECT blob FROM upload_part")}
        ended_parts = "SELECT COUNT(*) FROM upload WHERE ended_at IS NOT NULL AND parts > 0"
        rows += [f"parts of {count} ended uploads" for (count,) in ledger.execute(ended_parts) if count]
    finally:
        ledger.close()
    blobs = data / "blobs"
    there = {str(path.relative_to(blobs)) for path in blobs.rglob("*") if path.is_file()}
    return rows + sorted(there - named) + [f"{key} is missing" for key in sorted(named - there)]
