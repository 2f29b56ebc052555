"""A ledger that is not the one of the files beside it: refused in one line before anything is touched, and the ways out."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from slackwater.adapters.backup.checking import restore
from slackwater.adapters.backup.making import make_backup
from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.disk.data_directory import MARK, DataDirectory, mark_in
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.work.process_offload import InlineOffload
from slackwater.cli import main
from slackwater.config import Config
from slackwater.core.errors import DataDirectoryError
from slackwater.core.files.belonging import Fit
from slackwater.core.files.file import Purpose
from slackwater.pipeline.files.intake import Intake
from slackwater.pipeline.watching.readiness import Readiness
from slackwater.wiring import open_service
from slackwater.wiring.belonging import look
from slackwater.wiring.doctor import Level, examine
from slackwater.wiring.service import Service

Work = Callable[[Service], Awaitable[None]]


def serve(data: Path, *works: Work) -> None:
    """A start, some work, and an end as by kill -9: nothing is said to anybody."""

    async def story() -> None:
        async with open_service(Config(), data, offload=InlineOffload(), counter=None) as service:
            await service.janitor.start()
            await service.upload_janitor.start()
            await service.janitor.step()
            for work in works:
                await work(service)

    asyncio.run(story())


async def upload(service: Service) -> None:
    """One file more."""
    incoming = await Intake(service.ledger, service.blobs, service.clock, upload_bytes_max=0).begin()
    await incoming.write(b"bytes of a user's")
    await incoming.finish(purpose=Purpose.BATCH, filename="a.jsonl", expires_seconds=None)


def files_in(path: Path) -> dict[str, bytes]:
    """Everything that counts below a directory."""
    passing = ("slackwater.lock", "ledger.sqlite-wal", "ledger.sqlite-shm")
    return {
        each.relative_to(path).as_posix(): each.read_bytes()
        for each in path.rglob("*")
        if each.is_file() and each.name not in passing
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory after three starts, `early` beside it as it was after two, and `other`, which is somebody else's."""
    root = tmp_path_factory.mktemp("served")
    serve(root / "data", upload)
    serve(root / "data", upload)
    shutil.copytree(root / "data", root / "early")
    serve(root / "data", upload)
    serve(root / "other", upload)
    serve(root / "other")
    serve(root / "other")
    return root


def _take(source: str) -> Callable[[Path, Path], None]:
    return lambda data, served: shutil.copy(served / source / "ledger.sqlite", data / "ledger.sqlite") and None


def _younger(data: Path, served: Path) -> None:
    shutil.copytree(served / "early" / "blobs", data / "blobs", dirs_exist_ok=True)
    shutil.copy(served / "early" / MARK, data / MARK)
    with contextlib.closing(sqlite3.connect(data / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE identity SET generation = 9")


def _emptied(data: Path, served: Path) -> None:
    with contextlib.closing(sqlite3.connect(data / "ledger.sqlite")) as ledger:
        ledger.execute("PRAGMA journal_mode = DELETE")
    (data / "ledger.sqlite").unlink()
    with contextlib.closing(sqlite3.connect(data / "ledger.sqlite")) as ledger:
        # Somebody looked at what is not there.
        ledger.execute("PRAGMA journal_mode = WAL")


def _alone(data: Path, served: Path) -> None:
    (data / MARK).unlink()
    shutil.rmtree(data / "blobs")


WRONG: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "missing": (lambda data, served: (data / "ledger.sqlite").unlink(), "is missing or empty"),
    "no bytes": (lambda data, served: (data / "ledger.sqlite").write_bytes(b"") and None, "is missing or empty"),
    "no tables": (_emptied, "is missing or empty"),
    "older": (_take("early"), "is older than the files"),
    "of another directory": (_take("other"), "is another ledger"),
    "younger": (_younger, "are older than"),
    "without a mark": (lambda data, served: (data / MARK).unlink(), "nothing in"),
    "with a mark that is damaged": (lambda data, served: (data / MARK).write_bytes(b"{") and None, "nothing in"),
    "the ledger alone": (_alone, "no slackwater.mark, and no file"),
    "the mark alone": (lambda data, served: shutil.rmtree(data / "blobs"), "lacks files that it needs"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_a_ledger_that_does_not_belong_there(tmp_path: Path, served: Path, kind: str) -> None:
    """It is refused in one line with the way out, by all commands that would write; nothing is changed; the doctor says so."""
    change, words = WRONG[kind]
    data = tmp_path / "data"
    shutil.copytree(served / "data", data)
    change(data, served)
    before = files_in(data)
    with pytest.raises(DataDirectoryError, match=words) as caught:
        serve(data)
    assert "\n" not in str(caught.value)
    assert f"slackwater recover --data {data}" in str(caught.value)
    made = CliRunner().invoke(main, ["keys", "create", "--data", str(data)])
    assert (made.exit_code, words in made.stderr, made.stderr.count("\n")) == (2, True, 1)
    assert files_in(data) == before
    faults = [each for each in examine(None, data, now=lambda: 0.0) if each.level is Level.FAULT]
    assert any(each.about == "ledger" and words in each.message for each in faults)


@pytest.mark.parametrize("kind", WRONG)
def test_an_operator_who_knows_goes_on(tmp_path: Path, served: Path, kind: str) -> None:
    """`recover` says first what it would do; then every byte is still there, named or aside, and the server starts."""
    change, words = WRONG[kind]
    data = tmp_path / "data"
    shutil.copytree(served / "data", data)
    change(data, served)
    before = files_in(data)
    said = CliRunner().invoke(main, ["recover", "--data", str(data)])
    assert (said.exit_code, words in said.output, "nothing was changed" in said.output) == (0, True, True)
    assert files_in(data) == before
    done = CliRunner().invoke(main, ["recover", "--data", str(data), "--yes"])
    assert (done.exit_code, "done" in done.output) == (0, True), done.output
    serve(data, upload)
    bytes_of_users = [each for name, each in files_in(data).items() if name.startswith(("blobs/", "lost/"))]
    assert len(bytes_of_users) >= len([name for name in before if name.startswith("blobs/")]) + 1
    _, found, mark = look(data)
    assert found.mark == mark
    assert (
        CliRunner().invoke(main, ["recover", "--data", str(data)]).output.splitlines()[0].endswith("nothing to recover")
    )


def _rows(data: Path, text: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(data / "ledger.sqlite", isolation_level=None)) as ledger:
        return ledger.execute(text).fetchall()


@pytest.fixture
def open_batch(tmp_path: Path) -> Path:
    """A data directory with a batch that has an answer in its log, and whose input file was deleted; and files of nobody's."""
    data = tmp_path / "data"
    serve(data, *[upload] * 3)
    moments = "completion_window, status, stage, created_at, expires_at, expires"
    columns = f"id, input_file_id, input_blob, endpoint, {moments}, policies"
    _rows(
        data,
        f"INSERT INTO batch ({columns}) SELECT 'batch_1', id, blob, '/v1/x', '24h', 'in_progress', 'running', 0, 9e9, 0, '{{}}' "
        "FROM file ORDER BY seq LIMIT 1",
    )
    _rows(data, "DELETE FROM file WHERE id IN (SELECT input_file_id FROM batch)")
    _rows(
        data,
        "INSERT INTO segment (batch_seq, idx, epoch, output_key, output_offset, output_length) "
        "VALUES (1, 0, 1, 'logs/batch_1/a.output', 10, 7)",
    )
    log = data / "blobs/logs/batch_1/a.output"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * 17)
    return data


@pytest.mark.parametrize("lost", ["input", "log", "end of the log", "files of nobody"])
def test_what_an_open_batch_needs(open_batch: Path, lost: str) -> None:
    """Without its input, or answers that it has, nothing starts; files that were lost one by one are their users' alone.

    `recover` names what is missing; then it is known, and more that is lost is told again.
    """
    data, log = open_batch, open_batch / "blobs/logs/batch_1/a.output"
    ((key,),) = _rows(data, "SELECT input_blob FROM batch")
    others = [data / "blobs" / str(blob) for (blob,) in _rows(data, "SELECT blob FROM file ORDER BY seq")]
    serve(data)
    others[-1].unlink()
    serve(data)
    if lost == "input":
        (data / "blobs" / str(key)).unlink()
    elif lost == "log":
        log.unlink()
    elif lost == "end of the log":
        log.write_bytes(b"x" * 16)
    else:
        others[0].unlink()
    before = files_in(data)
    named = {"input": f"{key} (1 of 2", "files of nobody": "files/file-"}
    such = named.get(lost, f"{log.relative_to(data / 'blobs')} (1 of 2")
    with pytest.raises(DataDirectoryError, match="lacks files that it needs") as caught:
        serve(data)
    assert f"that it needs, such as {such}" in str(caught.value)
    assert f"; 'slackwater doctor --data {data}' names all that is missing" in str(caught.value)
    assert files_in(data) == before
    said = CliRunner().invoke(main, ["recover", "--data", str(data), "--yes"])
    assert (said.exit_code, "missing or cut off and stay so" in said.output) == (0, True), said.output
    serve(data)
    serve(data, upload)
    shutil.rmtree(data / "blobs")
    with pytest.raises(DataDirectoryError, match="lacks files that it needs"):
        serve(data)


def test_a_log_that_a_power_cut_may_take(open_batch: Path) -> None:
    """Of a small batch the ledger has the answers itself: the start writes them to the disk again."""
    _rows(
        open_batch,
        "INSERT INTO kept_text (batch_seq, key, offset_, text) VALUES (1, 'logs/batch_1/a.output', 10, x'00')",
    )
    (open_batch / "blobs/logs/batch_1/a.output").unlink()
    assert look(open_batch)[0] is Fit.FITS


def test_an_older_directory_as_a_whole(tmp_path: Path, served: Path) -> None:
    """A snapshot of the volume brings the ledger, the files and the mark of one moment, and is served."""
    shutil.copytree(served / "early", tmp_path / "data")
    serve(tmp_path / "data", upload)
    assert not (tmp_path / "data" / "lost").exists()


def test_a_ledger_from_earlier_in_the_same_run(tmp_path: Path) -> None:
    """A server that runs raises the generation, too: a back-up of its ledger alone does not fit its files any more."""
    data, kept = tmp_path / "data", tmp_path / "ledger.sqlite"

    async def copy(service: Service) -> None:
        with contextlib.closing(sqlite3.connect(data / "ledger.sqlite")) as ledger:
            ledger.execute("VACUUM INTO ?", (str(kept),))

    async def later(service: Service) -> None:
        (mark,) = [each._step for each in service.loops() if each.name == "marking"]
        for _ in range(2):
            await mark()

    serve(data, upload, copy, later, upload)
    shutil.copy(kept, data / "ledger.sqlite")
    for suffix in ("-wal", "-shm"):
        (data / f"ledger.sqlite{suffix}").unlink(missing_ok=True)
    before = files_in(data)
    with pytest.raises(DataDirectoryError, match="is older than the files"):
        serve(data)
    assert files_in(data) == before


def test_a_start_that_dies_between_the_two(tmp_path: Path) -> None:
    """The ledger is one ahead, however often that happens: a start sees to the mark before it takes a step on."""
    data = tmp_path / "data"
    serve(data, upload)
    for _ in range(3):
        old = (data / MARK).read_bytes()
        serve(data)
        # As if the process had ended before it came to the mark; the next start goes through both steps again.
        (data / MARK).write_bytes(old)
        _, found, mark = look(data)
        assert found.mark is not None
        assert mark is not None
        assert found.mark.generation == mark.generation + 1
        serve(data)
        _, found, mark = look(data)
        assert found.mark == mark


def test_a_first_start_that_dies_between_the_two(tmp_path: Path) -> None:
    """Where there has never been a mark."""
    serve(tmp_path, upload)
    (tmp_path / MARK).unlink()
    serve(tmp_path)
    assert mark_in(tmp_path) == look(tmp_path)[1].mark


def test_an_older_back_up_with_its_own_bytes(tmp_path: Path) -> None:
    """It is restored, served, and from then on another ledger than the one that was backed up: they cannot be swapped."""
    data, again = tmp_path / "data", tmp_path / "again"
    serve(data, upload)
    make_backup(data, tmp_path / "store", now=0.0, keep=0, show=lambda done, total: None)
    serve(data, upload)
    restore(tmp_path / "store", again, at=None, show=lambda done, total: None)
    serve(again)
    assert len([name for name in files_in(again) if name.startswith("blobs/files/")]) == 1
    assert not (again / "lost").exists()
    shutil.copy(data / "ledger.sqlite", again / "ledger.sqlite")
    with pytest.raises(DataDirectoryError, match="is another ledger"):
        serve(again)


def test_what_a_sweep_takes_is_put_aside(tmp_path: Path) -> None:
    """Bytes without a row lie in `lost` for days; the doctor says so, and then they go."""
    serve(tmp_path, upload)
    stray = tmp_path / "blobs" / "files" / "stray"
    stray.write_bytes(b"nobody knows me")
    log = tmp_path / "blobs" / "logs" / "batch_gone" / "a.output"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"a line\n")
    serve(tmp_path)
    assert not stray.exists()
    (moment,) = (tmp_path / "lost").iterdir()
    assert files_in(moment) == {"files/stray": b"nobody knows me", "logs/batch_gone/a.output": b"a line\n"}
    notes = [each.message for each in examine(None, tmp_path, now=lambda: 0.0) if each.about == "lost"]
    assert ["2 files" in each and "7 days" in each for each in notes] == [True]
    moment.rename(moment.with_name("20200101T000000Z"))
    (tmp_path / "lost" / "mine").mkdir()
    serve(tmp_path)
    assert [each.name for each in (tmp_path / "lost").iterdir()] == ["mine"]


def _flip(data: bytes) -> bytes:
    """One page of a table, as a disk loses it."""
    return data[:8192] + b"\xff" * 4096 + data[12288:]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "garbage": lambda data: b"garbage" * (len(data) // 7),
    "cut off": lambda data: data[: len(data) // 2],
    "cut off early": lambda data: data[:50],
    "a page that has changed": _flip,
}
COMMANDS = {
    "keys": ["keys", "create"],
    "usage": ["usage"],
    "audit": ["audit", "export"],
    "backup": ["backup", "--output", "store"],
    "recover": ["recover", "--yes"],
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_ledger(tmp_path: Path, served: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens it says so in one line with what to do, and exit code 2. Nothing is changed, nor deleted."""
    data = tmp_path / "data"
    shutil.copytree(served / "data", data)
    monkeypatch.chdir(tmp_path)
    ledger = data / "ledger.sqlite"
    ledger.write_bytes(DAMAGE[kind](ledger.read_bytes()))
    before = files_in(data)
    with pytest.raises(DataDirectoryError, match="is damaged") as caught:
        serve(data)
    assert "slackwater restore" in str(caught.value)
    for name, command in COMMANDS.items():
        done = CliRunner().invoke(main, [*command, "--data", str(data)])
        if kind == "a page that has changed" and done.exit_code == 0:
            # It had no need of that page.
            assert name in ("usage", "audit")
            continue
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1), (name, done.output, done.exception)
        assert "damaged" in done.stderr, name
    assert files_in(data) == before
    assert any("damaged" in each.message for each in examine(None, data, now=lambda: 0.0) if each.level is Level.FAULT)


@pytest.mark.parametrize("schema", [0, 1, 24])
def test_a_database_of_something_else(tmp_path: Path, schema: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a valid one without our tables: one line that says what to do, and nothing is written into it."""
    data = tmp_path / "data"
    (data / "blobs" / "files").mkdir(parents=True)
    (data / "blobs" / "files" / "x").touch()
    monkeypatch.chdir(tmp_path)
    with contextlib.closing(sqlite3.connect(data / "ledger.sqlite")) as other:
        other.executescript(f"CREATE TABLE other (x); PRAGMA user_version = {schema}")
    before = files_in(data)
    with pytest.raises(DataDirectoryError, match="it has no table"):
        serve(data)
    for name, command in COMMANDS.items():
        done = CliRunner().invoke(main, [*command, "--data", str(data)])
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1), (name, done.output, done.exception)
        assert "move this file away" in done.stderr, name
    assert files_in(data) == before
    (data / "ledger.sqlite").rename(tmp_path / "other.sqlite")
    assert CliRunner().invoke(main, ["recover", "--data", str(data)]).exit_code == 0


def test_a_server_on_a_damaged_ledger(tmp_path: Path, served: Path) -> None:
    """The real command: exit code 2, one line, no traceback."""
    data = tmp_path / "data"
    shutil.copytree(served / "data", data)
    (data / "ledger.sqlite").write_bytes(_flip((data / "ledger.sqlite").read_bytes()))
    command = [sys.executable, "-m", "slackwater", "serve", "--data", str(data), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: the ledger ")
    assert done.stderr.count("\n") == 1


def test_a_ledger_that_is_damaged_while_it_is_served(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is told once in the log, and by /readyz from then on; nothing else is said to be wrong with it."""
    path = tmp_path / "ledger.sqlite"

    async def story() -> None:
        ledger = SqlLedger.open(path, inline=True)
        columns = "id, filename, purpose, size, created_at, status, blob"
        insert = f"INSERT INTO file ({columns}) VALUES (?, ?, 'batch', 0, 0, 'error', ?)"
        ledger.sql.database.reader.execute("BEGIN")
        ledger.sql.database.reader.executemany(
            insert, ((f"file-{number}", "n" * 400, f"files/{number}") for number in range(400))
        )
        ledger.sql.database.reader.execute("COMMIT")
        await ledger.close()
        with path.open("r+b") as page:
            page.seek(-65536, os.SEEK_END)
            page.write(b"\xff" * 65536)
        ledger = SqlLedger.open(path, inline=True)
        readiness = Readiness(stores={}, room=DiskBlobs(tmp_path), free_bytes_min=0, damaged=lambda: ledger.damaged)
        readiness.started(lambda: ())
        assert readiness.reasons() == []
        for _ in range(3):
            with pytest.raises(sqlite3.DatabaseError):
                await ledger.files(purpose=None, after=None, limit=400, descending=True, now=0)
        assert [each.code for each in readiness.reasons()] == ["ledger_damaged"]
        await ledger.close()

    asyncio.run(story())
    assert caplog.text.count("ledger_damaged") == 1


def test_a_clock_that_is_said_to_be_right(tmp_path: Path) -> None:
    """Word is left for the server that has the directory, and counts once; without one there is nobody to tell."""
    asked = ["confirm-clock", "--data", str(tmp_path)]
    alone = CliRunner().invoke(main, asked)
    assert (alone.exit_code, "no server runs" in alone.stderr) == (2, True)
    with DataDirectory.open(tmp_path) as data:
        assert not data.clock_confirmed()
        assert CliRunner().invoke(main, asked).exit_code == 0
        assert [data.clock_confirmed(), data.clock_confirmed()] == [True, False]


def test_the_clock_of_several_servers_is_said_to_be_right(tmp_path: Path) -> None:
    """Nobody of them has the directory alone: it is enough that one is there. What a dead one has left is nobody."""
    asked = ["confirm-clock", "--data", str(tmp_path)]
    with DataDirectory.open(tmp_path, shared=True) as data:
        assert CliRunner().invoke(main, asked).exit_code == 2
        assert data.announcements.announce("m1")
        told = CliRunner().invoke(main, asked)
        assert (told.exit_code, "tells the others" in told.stdout) == (0, True)
        assert data.clock_confirmed()
    alone = CliRunner().invoke(main, asked)
    assert (alone.exit_code, "no server runs" in alone.stderr) == (2, True)
