"""What is said of members together: who is late or gone, what differs, what nobody sends for; and whose metrics page has it."""

from typing import Any

import pytest

from slackwater.core.members import SAID_SECONDS, UNTIL_SECONDS, Duty, Member
from slackwater.core.watching.cluster import (
    ClusterReading,
    Concern,
    DutyHeld,
    MemberSays,
    MemberState,
    MemberView,
    ShardsHeld,
    SlotsHeld,
    concerns_of,
    lasting,
    member_views,
)
from slackwater.core.watching.scraping import SCRAPED_SECONDS, Scrapes, shows
from slackwater.core.watching.standings import Out, Says, SaysOfItself

NOW = 1_000.0


def member(name: str, *, silent: float = 0.0, **changes: Any) -> Member:
    """A member that has said nothing for so long."""
    fields = {"id": name, "host": f"host-{name}", "version": "1", "started_at": 1.0}
    return Member(**(fields | {"until": NOW - silent + UNTIL_SECONDS} | changes))


def views(*members: Member, here: str = "", **said: MemberSays) -> list[MemberView]:
    """How they are seen."""
    return member_views(ClusterReading(now=NOW, members=members), said, here=here)


def kinds(found: list[Concern]) -> list[str]:
    """What is told of."""
    return [each.kind for each in found]


def itself(**changes: Any) -> MemberSays:
    """What a member says of itself."""
    return MemberSays(itself=SaysOfItself(**changes))


@pytest.mark.parametrize(
    ("silent", "dead", "leaving", "state"),
    [
        (0.0, False, False, MemberState.OK),
        (2 * SAID_SECONDS, False, False, MemberState.OK),
        (3 * SAID_SECONDS + 0.1, False, False, MemberState.LATE),
        (1.0, False, True, MemberState.LEAVING),
        (UNTIL_SECONDS + 0.1, False, True, MemberState.OVERDUE),
        (1.0, True, False, MemberState.DEAD),
        # The database's clock was set back.
        (-50.0, False, False, MemberState.OK),
    ],
)
def test_how_a_member_is(silent: float, dead: bool, leaving: bool, state: MemberState) -> None:
    """By how long it has said nothing, whatever it said of itself before."""
    [view] = views(member("a", silent=silent, dead=dead), a=itself(leaving=leaving))
    assert view.state is state
    assert view.lag_seconds == pytest.approx(max(0.0, silent))


def test_what_it_holds_and_what_it_says() -> None:
    """By its own name alone; an engine is the one of its host. What somebody holds who says nothing is not all known."""
    says = MemberSays(
        itself=SaysOfItself(clock_ahead_seconds=0.5),
        deployments={"d": Says(out=Out(in_flight=3, quiet_since=None), tokens_per_second=2.0), "e": Says()},
    )
    reading = ClusterReading(
        now=NOW,
        members=[member("a"), member("aa")],
        watching="aa",
        shards=[ShardsHeld("a", "d", 2), ShardsHeld("aa", "d", 1)],
        duties=[DutyHeld("a", Duty.VALIDATE, "batch_1"), DutyHeld("a", Duty.VALIDATE, "batch_2")],
        slots=[SlotsHeld("a", "http://localhost:1 of 4711", 4, 9), SlotsHeld("aa", "http://localhost:1 of 4711", 1, 1)],
    )
    first, second = member_views(reading, {"a": says}, here="aa")
    assert (first.shards, first.requests_out, first.tokens_per_second) == ({"d": 2}, 3, 2.0)
    assert first.duties == {Duty.VALIDATE: ["batch_1", "batch_2"]}
    assert [(each.slots, each.wanted, each.in_flight) for each in first.engines] == [(4, 9, 0)]
    assert (first.watching, first.here) == (False, False)
    assert (second.watching, second.here) == (True, True)
    assert [each.in_flight for each in second.engines] == [None]
    assert (second.requests_out, second.tokens_per_second, second.sections) == (None, None, None)


def test_nothing_is_wrong() -> None:
    """With members of one version and one configuration, whatever they leave out; nor where there is nobody."""
    same = itself(sections={"deployments": "1"}, clock_ahead_seconds=-4.0)
    assert concerns_of(views(member("a"), member("b"), member("c"), a=same, b=same), deployments=["d"]) == []
    assert concerns_of([], deployments=["d"]) == []


def test_who_is_late_or_gone() -> None:
    """Each is named, with for how long; one that is late is still counted."""
    found = concerns_of(views(member("a", silent=70.0), member("b", silent=10.0)), deployments=["d"])
    assert kinds(found) == ["member_overdue", "member_late"]
    assert "a on host-a has said nothing for 1 min" in found[0].message
    assert "b on host-b has said nothing for 10 s" in found[1].message


def test_nobody_sends() -> None:
    """Servers that only answer leave batches to wait, and so does one that is about to go."""
    answering = [member("a", kind="api"), member("b", kind="worker")]
    assert kinds(concerns_of(views(*answering))) == []
    for lost in (views(answering[0]), views(*answering, b=itself(leaving=True))):
        [concern] = concerns_of(lost, deployments=["d"])
        assert concern.kind == "nobody_sends"
        assert concern.grave


def test_a_deployment_that_nobody_sends_for() -> None:
    """Workers that send for some leave the others; one that does not say sends for all. Many are not all named."""
    workers = [member("a", kind="worker", sends_for=("d",)), member("b", kind="api", sends_for=None)]
    names = ["d", *(f"e{number}" for number in range(9))]
    [concern] = concerns_of(views(*workers), deployments=names)
    assert (concern.kind, concern.grave) == ("deployments_unsent", True)
    assert "e0, e1, e2, e3, e4 and 4 others" in concern.message
    assert concerns_of(views(*workers, member("c")), deployments=names) == []


def test_versions_that_differ() -> None:
    """Who has which is said; one that is dead does not count."""
    [concern] = concerns_of(views(member("a"), member("b", version="2"), member("c")))
    assert concern.kind == "versions_differ"
    assert "1: a on host-a, c on host-c; 2: b on host-b" in concern.message
    assert kinds(concerns_of(views(member("a"), member("b", version="2", dead=True)))) == ["member_overdue"]


def test_configurations_that_differ() -> None:
    """By section. Another version may have another checksum of the same text, and says nothing."""
    said = {
        "a": itself(sections={"deployments": "1", "engines": "1"}),
        "b": itself(sections={"deployments": "2", "engines": "1"}),
        "c": itself(sections={"deployments": "3"}),
    }
    found = concerns_of(views(member("a"), member("b"), member("c", version="2"), **said))
    assert kinds(found) == ["versions_differ", "configurations_differ"]
    assert "[deployments]" in found[1].message
    assert "a on host-a and b on host-b" in found[1].message
    # A section that only one of them has.
    found = concerns_of(views(member("a"), member("b"), a=said["a"], b=itself(sections={"deployments": "1"})))
    assert kinds(found) == ["configurations_differ"]
    assert "[engines]" in found[0].message


def test_clocks_that_differ() -> None:
    """Of machines, against that of the ledger."""
    [concern] = concerns_of(
        views(member("a"), member("b"), a=itself(clock_ahead_seconds=-60.0), b=itself(clock_ahead_seconds=1.0))
    )
    assert concern.kind == "clocks_differ"
    assert "a on host-a is 60 s behind" in concern.message


def test_a_time_for_people() -> None:
    """In its largest unit."""
    assert [lasting(seconds) for seconds in (-1.0, 59.9, 60.0, 7199.0, 7200.0)] == [
        "0 s",
        "59 s",
        "1 min",
        "1 h",
        "2 h",
    ]


def test_who_is_asked_over_and_over() -> None:
    """Once may be a person. A gap ends it."""
    scrapes = Scrapes()
    assert scrapes.since(0.0) is None
    scrapes.asked(10.0)
    assert scrapes.since(11.0) is None
    scrapes.asked(40.0)
    assert scrapes.since(41.0) == 10.0
    assert scrapes.since(40.0 + SCRAPED_SECONDS) == 10.0
    assert scrapes.since(41.0 + SCRAPED_SECONDS) is None
    scrapes.asked(41.0 + SCRAPED_SECONDS)
    assert scrapes.since(41.0 + SCRAPED_SECONDS) is None


def test_one_of_them_shows_it() -> None:
    """The one that is asked for longest; where nobody is known to be asked, whoever is. Of a tie, one."""
    assert shows(None, "a", [])
    assert not shows(None, "a", [(10.0, "b")])
    assert shows(5.0, "b", [(10.0, "a")])
    assert not shows(15.0, "a", [(10.0, "b"), (20.0, "c")])
    tied = {"a": 10.0, "b": 10.0, "c": 10.0}
    showing = [
        name
        for name, since in tied.items()
        if shows(since, name, [(at, each) for each, at in tied.items() if each != name])
    ]
    assert showing == ["a"]


def test_the_first_scrapes_find_it_on_one_page() -> None:
    """Of three that nobody has asked before, each is asked every 15 s: it is on one of the pages each time, and stays there."""
    names = ("a", "b", "c")
    scrapes = {name: Scrapes() for name in names}
    # What each says of itself is heard by the others some seconds later.
    said: dict[str, float | None] = dict.fromkeys(names)
    shown = []
    for number in range(4):
        showing = []
        for place, name in enumerate(reversed(names)):
            now = 100.0 + 15 * number + place
            scrapes[name].asked(now)
            others = [(since, other) for other in names if other != name and (since := said[other]) is not None]
            if shows(scrapes[name].heard(now), name, others, [other for other in names if other != name]):
                showing.append(name)
        said = {name: scrapes[name].since(100.0 + 15 * number + 7) for name in names}
        shown.append(showing)
    assert shown == [["a"], ["a"], ["c"], ["c"]]
    # A person who asks one alone is shown it by the first of them; where there is no other, by that one.
    assert not shows(None, "b", [], ["a"])
    assert shows(None, "b", [], ["c"])
