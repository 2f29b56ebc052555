"""Bytes that change on the disk: between validation and sending, while lines are sent, and before the results become files.

Each story has a healthy batch on the same deployment, which must not notice. What must hold for the damaged one: it ends, each of
its lines is in one file once, nothing is sent that validation has not seen, nothing that was answered is sent again.
"""

import asyncio
import errno
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.core.batch import Batch, Status
from slackwater.core.errors import FilesUnavailable
from slackwater.core.sending.rereading import TRIES_DAMAGED, TRIES_REFUSED
from slackwater.pipeline.ending.finalizer import Finalizer
from slackwater.pipeline.sending.shard_lines import LAST_READS
from slackwater.ports import BlobRange
from slackwater.telemetry import counters, meters
from tests.pipeline.engines import GOOD, Answer, ScriptedEngine, Service, inline, refusal, served

LINES, SHARD_LINES = 30, 10
TEXTS = [f"text {number}" for number in range(LINES)]
NEIGHBOUR = [f"neighbour {number}" for number in range(500)]
Change = Callable[[bytes], bytes]


class Ended:
    """A batch that has ended, and what is in its two files."""

    def __init__(self, batch: Batch, output: list[dict[str, Any]], errors: list[dict[str, Any]]) -> None:
        self.batch, self.output, self.errors = batch, output, errors
        self.codes = {line["custom_id"]: (line["error"] or {}).get("code") for line in errors}

    def lost(self, code: str) -> set[str]:
        """The ids of the lines that ended so."""
        return {each for each, said in self.codes.items() if said == code}


async def finish(service: Service, batch_id: str, *, seconds_max: float = 1200.0) -> Ended:
    """Ends everything that is through, as the service does, until this batch has ended; and checks what must hold."""
    numbers = iter(range(1000))
    finalizer = Finalizer(
        service.ledger, service.blobs, service.clock, new_file_id=lambda: f"file-{batch_id}-{next(numbers)}"
    )
    deadline = service.loop.time() + seconds_max
    while True:
        await finalizer.step()
        batch = await service.ledger.batch(batch_id)
        assert batch is not None
        if batch.terminal:
            break
        assert service.loop.time() < deadline, f"{batch_id} has not ended: {batch}"
        await asyncio.sleep(0.5)
    output, errors = [await _lines(service, each) for each in (batch.output_file_id, batch.error_file_id)]
    ids = [line["id"] for line in output + errors]
    assert len(set(ids)) == len(ids) == batch.counts.total, "each line is in one file once"
    names = [line["custom_id"] for line in output + errors if line["custom_id"]]
    assert len(set(names)) == len(names), "an id is there twice"
    never_ran = [line for line in errors if (line["error"] or {}).get("code") in ("batch_cancelled", "batch_expired")]
    assert (batch.counts.completed, batch.counts.failed) == (len(output), len(errors) - len(never_ran))
    return Ended(batch, output, errors)


async def _lines(service: Service, file_id: str | None) -> list[dict[str, Any]]:
    file = None if file_id is None else await service.ledger.file(file_id)
    assert file is not None
    data = b"".join([piece async for piece in service.blobs.stream(file.blob)])
    assert len(data) == file.size
    return [json.loads(line) for line in data.splitlines()]


def rewrite(path: Path, change: Change) -> None:
    """Changes a file behind everybody's back."""
    path.chmod(0o600)
    path.write_bytes(change(path.read_bytes()))


def input_of(service: Service, batch_id: str) -> Path:
    return service.blobs.path(f"files/{batch_id}")


def logs_of(service: Service, batch_id: str, kind: str) -> list[Path]:
    return sorted(service.blobs.path(f"logs/{batch_id}/x").parent.glob(f"*.{kind}"))


def line_at(data: bytes, custom_id: str) -> tuple[int, int]:
    """Where the line with this id lies, with its end."""
    at = data.index(f'"custom_id": "{custom_id}"'.encode())
    return data.rfind(b"\n", 0, at) + 1, data.index(b"\n", at) + 1


def _replaced(old: bytes, new: bytes) -> Change:
    return lambda data: data.replace(old, new, 1)


def _line_break_in(custom_id: str, *, more: bool) -> Change:
    def change(data: bytes) -> bytes:
        begin, _ = line_at(data, custom_id)
        return data[: begin + 40] + b"\n" + data[begin + 40 + (not more) :]

    return change


def _cut_at(custom_id: str) -> Change:
    return lambda data: data[: line_at(data, custom_id)[0] + 25]


def _swapped(one: str, other: str) -> Change:
    def change(data: bytes) -> bytes:
        (a, b), (c, d) = line_at(data, one), line_at(data, other)
        return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]

    return change


def _without(custom_id: str) -> Change:
    def change(data: bytes) -> bytes:
        begin, end = line_at(data, custom_id)
        return data[:begin] + data[end:]

    return change


def _joined_with_next(custom_id: str) -> Change:
    def change(data: bytes) -> bytes:
        _, end = line_at(data, custom_id)
        return data[: end - 1] + b" " + data[end:]

    return change


# What happens to an input, which lines that costs, and how many of these have lost their id, too.
DAMAGE: dict[str, tuple[Change, set[str], int]] = {
    # Still valid JSON: nobody would notice, and the answer would be one to another question.
    "a word": (_replaced(b"text 15", b"text 75"), {"15"}, 0),
    "the id": (_replaced(b'"custom_id": "15"', b'"custom_id": "14"'), {"15"}, 1),
    "no JSON": (_replaced(b'"POST", "url": "/chat/completions", "body": {"model": "m", "messages": [{"role": "user", '
                          b'"content": "text 15"', b"\xff" * 8), {"15"}, 0),
    "a line break more": (_line_break_in("15", more=True), {"15"}, 0),
    "a line break for a byte": (_line_break_in("15", more=False), {"15"}, 0),
    "a line break less": (_joined_with_next("15"), {"15", "16"}, 2),
    "a line less": (_without("15"), {"15"}, 1),
    "bytes before": (lambda data: b'{"what": "is this"}\n' * 50 + data, set(), 0),
    "bytes behind": (lambda data: data + b'{"what": "is this"}\n' * 50, set(), 0),
    "blank lines": (_replaced(b"\n", b"\n\n  \n"), set(), 0),
    "another order": (_swapped("12", "15"), set(), 0),
    "cut": (_cut_at("15"), {str(number) for number in range(15, 30)}, 15),
    "empty": (lambda data: b"", {str(number) for number in range(30)}, 30),
    "zeros": (lambda data: bytes(len(data)), {str(number) for number in range(30)}, 30),
}  # fmt: skip


@pytest.mark.parametrize("kind", [*DAMAGE, "gone", "a directory"])
def test_an_input_that_changes_after_validation(tmp_path: Path, kind: str) -> None:
    """Lines that have changed are never sent and end with a code, by their ids where these are left; the others are answered."""
    change, lost, nameless = DAMAGE.get(kind, DAMAGE["empty"])

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop)
        damaged = await service.batch(TEXTS, shard_lines=SHARD_LINES)
        healthy = await service.batch(NEIGHBOUR)
        path = input_of(service, damaged)
        if kind in ("gone", "a directory"):
            path.unlink()
            if kind == "a directory":
                path.mkdir()
        else:
            rewrite(path, change)
        service.serve(engine)
        assert await service.ended(healthy) < 2.0, "the neighbour does not notice"
        assert await service.counts(healthy) == (len(NEIGHBOUR), 0)
        await service.ended(damaged, seconds_max=900)
        ended = await finish(service, damaged)
        assert ended.batch.status is Status.COMPLETED
        assert len(ended.errors) == len(lost)
        assert {line["error"]["code"] for line in ended.errors} <= {"input_unreadable"}
        assert sum(line["custom_id"] == "" for line in ended.errors) == nameless
        assert ended.lost("input_unreadable") - {""} <= lost
        answered = {line["custom_id"] for line in ended.output}
        assert answered == {str(number) for number in range(LINES)} - lost
        assert engine.counts == {text: 1 for text in NEIGHBOUR} | {TEXTS[int(each)]: 1 for each in answered}
        assert await service.ledger.enqueued_tokens("d") == len(NEIGHBOUR), "what it held is given back"

    served(tmp_path, story)


class Stubborn(DiskBlobs):
    """A disk that gives an I/O error for some of the keys for a while."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, run=inline)
        self.refuses: Callable[[BlobRange], bool] = lambda place: False
        self.refused = 0

    async def read(self, source: BlobRange) -> bytes:
        if self.refuses(source):
            self.refused += 1
            raise OSError(errno.EIO, "the disk says no")
        return await super().read(source)


@pytest.mark.parametrize("comes_back", [True, False])
def test_an_input_that_cannot_be_read(tmp_path: Path, comes_back: bool) -> None:
    """The disk is given minutes, with growing gaps. Where it comes back, nothing was lost; where not, the batch ends."""
    blobs = Stubborn(tmp_path)

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop)
        damaged = await service.batch(TEXTS, shard_lines=1)
        healthy = await service.batch(NEIGHBOUR)
        blobs.refuses = lambda place: place.key == f"files/{damaged}" and (not comes_back or service.loop.time() < 200)
        service.serve(engine)
        assert await service.ended(healthy) < 2.0
        took = await service.ended(damaged, seconds_max=900)
        ended = await finish(service, damaged)
        if comes_back:
            assert ended.errors == []
            assert len(ended.output) == LINES
            assert blobs.refused < TRIES_REFUSED
        else:
            assert len(ended.errors) == LINES
            assert {line["error"]["code"] for line in ended.errors} == {"input_unreadable"}
            assert 300 < took < 400
            assert blobs.refused <= TRIES_REFUSED + 2 * LAST_READS * LINES

    served(tmp_path, story, blobs=blobs)


@pytest.mark.parametrize("kind", ["a word", "a line break more", "cut", "gone", "no reading", "slow disk"])
def test_an_input_that_changes_while_lines_wait(tmp_path: Path, kind: str) -> None:
    """Lines whose bytes were let go are read again, and compared again."""
    blobs = Stubborn(tmp_path)
    pad = "x" * (1 << 20)

    async def story(service: Service) -> None:
        told: set[str] = set()

        def script(text: str, engine: ScriptedEngine) -> Answer:
            if text in told or not text.startswith("text"):
                return GOOD
            told.add(text)
            return refusal(429, 100.0)

        engine = ScriptedEngine(service.loop, script)
        damaged = await service.batch([text + pad for text in TEXTS], shard_lines=1)
        service.serve(engine, in_flight_bytes=1 << 28)
        while len(told) < LINES:
            assert service.loop.time() < 3600
            await asyncio.sleep(1.0)
        path = input_of(service, damaged)
        refused_until = service.loop.time() + (200 if kind == "slow disk" else 1e9)
        if kind == "gone":
            path.unlink()
        elif kind in ("no reading", "slow disk"):
            blobs.refuses = lambda place: place.key == f"files/{damaged}" and service.loop.time() < refused_until
        else:
            changes = {"a word": _replaced(b"text 3", b"test 3"), "cut": _cut_at("3")}
            rewrite(path, changes.get(kind) or _line_break_in("3", more=True))
        await service.ended(damaged, seconds_max=7200)
        ended = await finish(service, damaged)
        assert ended.codes.keys() == ended.lost("input_unreadable")
        if kind in ("slow disk", "a word", "a line break more"):
            assert ended.codes.keys() == ({"3"} if kind != "slow disk" else set())
        else:
            assert 10 < len(ended.errors) < 20, "those that were still in memory were sent"
        assert not [text for text in engine.counts if text.startswith("test")], "what has changed is not sent"

    served(tmp_path, story, blobs=blobs)


@pytest.mark.parametrize("kind", ["a line break more", "a line less", "bytes before", "blank lines"])
def test_a_shard_that_was_begun_before_it_changed(tmp_path: Path, kind: str) -> None:
    """Lines keep their numbers, whatever is put in before them: none that was answered is sent again."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop)
        damaged = await service.batch(TEXTS, shard_lines=LINES)
        service.serve(engine, slots=1)
        while (await service.counts(damaged))[0] < 20:
            await asyncio.sleep(0.01)
        await service.stop()
        answered = set(engine.counts)
        rewrite(input_of(service, damaged), {
            "a line break more": _line_break_in("3", more=True),
            "a line less": _without("3"),
        }.get(kind, DAMAGE[kind][0]))  # fmt: skip
        service.serve(engine, slots=1)
        await service.ended(damaged, seconds_max=900)
        ended = await finish(service, damaged)
        assert ended.errors == [], "the line that was hit had its answer already"
        assert answered < set(engine.counts)
        assert set(engine.counts.values()) == {1}

    served(tmp_path, story)


# Results


def _nth(number: int, change: Change) -> Change:
    """Changes one line of a log."""

    def whole(data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        lines[number] = change(lines[number])
        return b"".join(lines)

    return whole


# What happens to the output log, and how many results that costs at most and at least.
LOG_DAMAGE: dict[str, tuple[Change, int, int]] = {
    "a word": (_nth(7, lambda line: line.replace(b"yes", b"yet")), 1, 1),
    "the id": (_nth(7, lambda line: line.replace(b'"id":"batch_req_', b'"id":"batch_rex_')), 1, 1),
    "a line break for a byte": (_nth(7, lambda line: line[:60] + b"\n" + line[61:]), 1, 1),
    "a line break more": (_nth(7, lambda line: line[:60] + b"\n" + line[60:]), 1, 1),
    "a line break less": (_nth(7, lambda line: line[:-1] + b" "), 2, 2),
    "a line less": (_nth(7, lambda line: b""), 1, 1),
    "bytes before": (lambda data: b"\x00" * 700 + data, 1, 0),
    "cut": (lambda data: data[: len(data) // 2], 20, 10),
    "empty": (lambda data: b"", LINES - 3, LINES - 3),
}


@pytest.mark.parametrize("kind", [*LOG_DAMAGE, "gone", "no reading", "slow disk", "shaky disk", "errors", "all gone"])
def test_results_that_change_before_they_are_files(tmp_path: Path, kind: str) -> None:
    """What can be read is in the files; what is lost says so, by its id, fails, and is not asked for again. Usage stays."""
    change, most, least = LOG_DAMAGE.get(kind, (lambda data: b"", LINES - 3, LINES - 3))
    if kind == "no reading":
        most = least = LINES
    if kind in ("slow disk", "shaky disk"):
        most = least = 0
    elif kind == "errors":
        change, most, least = _nth(1, lambda line: line.replace(b"no", b"on")), 1, 1
    elif kind == "all gone":
        most = least = LINES
    blobs = Stubborn(tmp_path)

    async def story(service: Service) -> None:
        bad = {"text 5", "text 15", "text 25"}
        engine = ScriptedEngine(service.loop, lambda text, engine: refusal(400) if text in bad else GOOD)
        damaged = await service.batch(TEXTS, shard_lines=SHARD_LINES)
        service.serve(engine)
        await service.ended(damaged)
        await service.stop()
        before = await service.ledger.batch(damaged)
        assert before is not None
        calls = len(engine.calls)
        for path in logs_of(service, damaged, "output" if kind != "errors" else "error"):
            if kind in ("gone", "all gone"):
                path.unlink()
            elif kind not in ("no reading", "slow disk", "shaky disk"):
                rewrite(path, change)
        if kind == "all gone":
            for path in logs_of(service, damaged, "error"):
                path.unlink()
        until = service.loop.time() + (60 if kind == "slow disk" else 1e9)
        if kind in ("no reading", "slow disk"):
            logs = f"logs/{damaged}/"
            blobs.refuses = lambda place: place.key.startswith(logs) and service.loop.time() < until
        if kind == "shaky disk":
            # Of three reads two fail, whenever: no try ever reads all of it.
            reads = itertools.count(1)
            blobs.refuses = lambda place: place.key.startswith(f"logs/{damaged}/") and next(reads) % 3 != 0
        healthy = await service.batch(NEIGHBOUR)
        service.serve(engine)
        await service.ended(healthy)
        await service.stop()
        ended = await finish(service, damaged)
        assert ended.batch.status is Status.COMPLETED
        lost = ended.lost("result_unreadable")
        assert least <= len(lost) <= most
        assert "" not in lost, "the input has their ids"
        assert ended.batch.usage == before.usage, "what was recorded has been paid for"
        assert (await finish(service, healthy)).errors == []
        assert len(engine.calls) == calls + len(NEIGHBOUR), "nothing is sent a second time"
        assert await service.ledger.enqueued_tokens("d") == 0
        assert all(each["response"]["body"]["choices"][0]["message"]["content"] == "yes" for each in ended.output)
        assert not logs_of(service, damaged, "output")
        rows = service.ledger.sql.database.reader.execute(
            "SELECT COUNT(*) FROM shard UNION ALL SELECT COUNT(*) FROM segment"
        )
        assert [count for (count,) in rows] == [0, 0]

    served(tmp_path, story, blobs=blobs)


@pytest.mark.parametrize("kind", ["a word", "cut", "gone"])
def test_results_without_checksums(tmp_path: Path, kind: str) -> None:
    """As an old version left them: what looks like a line of its shard is believed, and the batch ends in any case."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop)
        damaged = await service.batch(TEXTS, shard_lines=SHARD_LINES, checksums=False)
        service.serve(engine)
        await service.ended(damaged)
        await service.stop()
        service.ledger.sql.database.reader.execute("UPDATE segment SET output_checksums = X'', error_checksums = X''")
        for path in logs_of(service, damaged, "output"):
            if kind == "gone":
                path.unlink()
            else:
                rewrite(path, LOG_DAMAGE[kind][0])
        ended = await finish(service, damaged)
        lost = ended.lost("result_unreadable")
        assert len(lost) == {"a word": 0, "gone": LINES}.get(kind, len(lost))
        assert kind != "cut" or 10 <= len(lost) <= 20

    served(tmp_path, story)


@pytest.mark.parametrize("kind", ["a word", "the id", "cut", "gone", "zeros"])
def test_a_batch_that_was_cancelled_ends_without_its_input(tmp_path: Path, kind: str) -> None:
    """Lines that never ran say so, by their ids where these are left."""

    async def story(service: Service) -> None:
        batch_id = await service.batch(TEXTS, shard_lines=SHARD_LINES)
        if kind == "gone":
            input_of(service, batch_id).unlink()
        else:
            rewrite(input_of(service, batch_id), DAMAGE[kind][0])
        await service.ledger.request_cancel(batch_id, now=int(service.clock.now()))
        ended = await finish(service, batch_id)
        assert ended.batch.status is Status.CANCELLED
        assert {line["error"]["code"] for line in ended.errors} == {"batch_cancelled"}
        assert await service.ledger.enqueued_tokens("d") == 0

    served(tmp_path, story)


def test_damage_is_counted(tmp_path: Path) -> None:
    """Each try is an event with a count, and so is what is lost in the end."""

    async def story(service: Service) -> None:
        before, seen, lost = dict(counters), dict(meters.damage_seen), dict(meters.lines_lost)
        batch_id = await service.batch(TEXTS, shard_lines=SHARD_LINES)
        rewrite(input_of(service, batch_id), DAMAGE["a word"][0])
        service.serve(ScriptedEngine(service.loop))
        await service.ended(batch_id)
        await service.stop()
        rewrite(logs_of(service, batch_id, "output")[0], LOG_DAMAGE["a word"][0])
        await finish(service, batch_id)
        grown = {name: counters[name] - before.get(name, 0) for name in counters}
        assert grown["shard_unreadable"] == grown["batch_unreadable"] == TRIES_DAMAGED
        assert grown["input_lost"] == grown["results_lost"] == 1
        for what in ("input", "results"):
            assert meters.damage_seen[what] - seen[what] == TRIES_DAMAGED
            assert meters.lines_lost[what] - lost[what] == 1

    served(tmp_path, story)


class Gone(Stubborn):
    """An object store that cannot be reached for a while."""

    async def read(self, source: BlobRange) -> bytes:
        if self.refuses(source):
            self.refused += 1
            raise FilesUnavailable("it does not answer")
        return await super().read(source)


@pytest.mark.parametrize("what", ["shards", "lines that wait", "results"])
def test_a_store_that_cannot_be_asked(tmp_path: Path, what: str) -> None:
    """That says nothing of the bytes: for an hour nothing is given up, and then nothing was lost."""
    blobs, pad = Gone(tmp_path), "x" * (1 << 20)

    async def story(service: Service) -> None:
        told: set[str] = set()

        def script(text: str, engine: ScriptedEngine) -> Answer:
            if text in told:
                return GOOD
            told.add(text)
            return refusal(429, 100.0)

        def goes_for_an_hour() -> None:
            until = service.loop.time() + 3600.0
            blobs.refuses = lambda place: service.loop.time() < until

        engine = ScriptedEngine(service.loop, script)
        batch_id = await service.batch([text + pad for text in TEXTS], shard_lines=1)
        if what == "shards":
            goes_for_an_hour()
        service.serve(engine, in_flight_bytes=1 << 28)
        if what == "lines that wait":
            while len(told) < LINES:
                assert service.loop.time() < 3600
                await asyncio.sleep(1.0)
            goes_for_an_hour()
        await service.ended(batch_id, seconds_max=9000)
        if what == "results":
            goes_for_an_hour()
            finalizer = Finalizer(service.ledger, service.blobs, service.clock, new_file_id=lambda: "file-never")
            for _ in range(TRIES_REFUSED + TRIES_DAMAGED):
                with pytest.raises(FilesUnavailable):
                    await finalizer.step()
                await finalizer.step()
        blobs.refuses = lambda place: False
        ended = await finish(service, batch_id)
        assert blobs.refused > 3
        assert ended.errors == []
        assert len(ended.output) == LINES

    served(tmp_path, story, blobs=blobs)
