"""Which ledgers a data directory takes: its own, and the first one; and how long what was put aside lies there."""

import pytest

from slackwater.core.files.belonging import Fit, Lack, Mark, Sample, fit_of
from slackwater.core.files.lost import moment_of, name_of, to_forget


def mark(generation: int, identity: str = "mine") -> Mark:
    return Mark(identity, generation)


@pytest.mark.parametrize(
    ("ledger", "directory", "bytes_there", "fit"),
    [
        pytest.param(mark(5), mark(5), True, Fit.FITS, id="the same"),
        pytest.param(mark(6), mark(5), True, Fit.FITS, id="a start died between the two"),
        pytest.param(mark(4), mark(5), True, Fit.OLDER, id="an older one"),
        pytest.param(mark(4), mark(5), False, Fit.OLDER, id="an older one, and no file yet"),
        pytest.param(mark(7), mark(5), True, Fit.YOUNGER, id="older files"),
        pytest.param(mark(5, "another"), mark(5), True, Fit.OTHER, id="another one"),
        pytest.param(mark(0), None, True, Fit.FITS, id="just brought to this schema"),
        pytest.param(mark(1), None, True, Fit.FITS, id="the first start died between the two"),
        pytest.param(mark(2), None, True, Fit.UNMARKED, id="no mark"),
        pytest.param(mark(2), None, False, Fit.ABSENT, id="no mark, and no file"),
        pytest.param(mark(0), None, False, Fit.FITS, id="never served"),
        pytest.param(mark(1), None, False, Fit.FITS, id="the first start died, and there is no file yet"),
        pytest.param(None, None, True, Fit.FITS, id="of a schema without marks"),
        pytest.param(None, mark(5), True, Fit.OLDER, id="of a schema without marks, where a newer version was"),
    ],
)
def test_which_ledgers_fit(ledger: Mark | None, directory: Mark | None, bytes_there: bool, fit: Fit) -> None:
    """The last one that served these bytes, or one that has never been served."""
    assert fit_of(ledger, directory, empty=False, bytes_there=bytes_there, named=bytes_there) is fit


def test_a_ledger_that_names_files_fits_no_place_without_any() -> None:
    """However seldom it has been served. With its mark it does: what is missing there is told of each file."""
    for generation in range(3):
        assert fit_of(mark(generation), None, empty=False, bytes_there=False, named=True) is Fit.ABSENT
        assert fit_of(mark(generation), mark(generation), empty=False, bytes_there=False, named=True) is Fit.FITS


def test_an_empty_ledger_fits_nothing_but_an_empty_directory() -> None:
    """Where there are bytes, or there were, it is not the one that belongs there."""
    assert fit_of(None, None, empty=True, bytes_there=False, named=False) is Fit.FITS
    assert fit_of(None, None, empty=True, bytes_there=True, named=False) is Fit.NO_LEDGER
    assert fit_of(None, mark(1), empty=True, bytes_there=False, named=False) is Fit.NO_LEDGER


def test_what_was_put_aside_lies_there_for_days() -> None:
    """By the moment in its name. What is called otherwise is somebody else's, and stays."""
    now = 1_800_000_000.0
    names = [name_of(now - days * 86_400) for days in (0, 6, 8)] + ["mine", "20261328T000000Z"]
    assert to_forget(names, now=now, kept_days=7) == [names[2]]
    assert moment_of(names[0]) == now


@pytest.mark.parametrize(
    ("needed", "newest", "given_up", "missing"),
    [
        ({}, {}, (), None),
        ({"in": 5, "log": 7}, {"in": 5, "out": 9}, (), None),
        ({"in": 5, "gone": 1}, {"in": 5}, (), Lack(["gone"], 2)),
        ({"in": 5, "lost": 0, "gone": 1}, {}, (), Lack(["gone", "lost"], 3)),
        ({"in": 5, "gone": 1}, {"in": 5}, ("gone",), None),
        ({"in": 6}, {}, (), Lack(["in"], 1)),
        ({"gone": 0}, {}, (), Lack(["gone"], 1)),
        ({}, {"gone": 1, "out": 9}, (), None),
        ({}, {"gone": 1, "lost": 2}, (), Lack(["gone", "lost"], 2)),
        ({}, {"gone": 1, "lost": 2}, ("gone",), Lack(["lost"], 1)),
        ({}, {"gone": 1, "lost": 2}, ("gone", "lost"), None),
    ],
)
def test_bytes_that_are_to_be_there(
    needed: dict[str, int], newest: dict[str, int], given_up: tuple[str, ...], missing: Lack | None
) -> None:
    """Each one that an open batch needs, with all that it is to have; of the others one at least, unless nobody expects any."""
    there = {"in": 5, "log": 8, "out": 9}
    sample = Sample(needed=needed, newest=newest)
    assert sample.missing(lambda key: there.get(key, -1), given_up) == missing
