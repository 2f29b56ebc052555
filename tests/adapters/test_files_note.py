"""Where the files of a data directory are, by its note: what counts, and since when."""

from pathlib import Path

from slackwater.adapters.disk.data_directory import DataDirectory
from slackwater.adapters.disk.files_note import COMING, FILES, FilesNote

A, B = "s3://box/a", "az://account/box/b"


def test_a_note_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Nothing, the address that a start leaves, and what a move leaves, also where the files are in the directory again."""
    with DataDirectory.open(tmp_path) as data:
        assert DataDirectory.files_note(tmp_path) == FilesNote()
        data.note_files(A)
        assert (tmp_path / FILES).read_text() == f"{A}\n"
        assert DataDirectory.files_note(tmp_path) == FilesNote(place=A)
        for note in (
            FilesNote(place=B, left=A, at="2026-11-30 20:00:00 UTC"),
            FilesNote(place="", left=B, at="2026-11-30 20:00:00 UTC"),
            FilesNote(place=A, left="/srv/data at home", at="2026-11-30 20:00:00 UTC"),
        ):
            data.let_files_go(note)
            assert DataDirectory.files_note(tmp_path) == note
            assert DataDirectory.files_of(tmp_path) == note.place
        # A start at the same place leaves it as it is.
        data.note_files(A)
        assert DataDirectory.files_note(tmp_path) == note


def test_a_note_that_is_to_come(tmp_path: Path) -> None:
    """It counts once what it waits for is there. Before that it goes without a trace, after it it takes its place."""
    note = FilesNote(place=B, left=A, at="2026-11-30 20:00:00 UTC")
    with DataDirectory.open(tmp_path) as data:
        data.note_files(A)
        data.let_files_go(note, once="moved.sqlite")
        assert DataDirectory.files_of(tmp_path) == A
        data.settle_files()
        (tmp_path / "moved.sqlite").touch()
        assert DataDirectory.files_of(tmp_path) == A
        data.let_files_go(note, once="moved.sqlite")
        assert DataDirectory.files_note(tmp_path) == note
        data.settle_files()
        assert not (tmp_path / COMING).exists()
        (tmp_path / "moved.sqlite").unlink()
        assert DataDirectory.files_note(tmp_path) == note
