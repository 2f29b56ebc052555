"""What members tell each other of a door: who looks at it, who follows, and what becomes of them when nobody says more."""

from slackwater.core.sending.door import DOUBT_AFTER, Door, DoorState
from slackwater.core.sending.door_words import FOLLOWED_SECONDS, HEARD_SECONDS, OPEN_SECONDS, DoorTalk, read_word
from slackwater.core.sending.evidence import SUCCESS, Evidence, Kind

TROUBLE = Evidence(Kind.TROUBLE, "status 500")
T = 1000.0


class Member:
    """One that uses the door."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.door = Door(slots=64)
        self.door.heard(SUCCESS, begun=0.0, now=0.0)
        self.talk = DoorTalk(self.door, name)
        self.word = ("", 0.0)
        self.probes = 0
        self.dead = False

    def fails(self, now: float) -> None:
        """Its lines fail, and so does its own request."""
        for _ in range(DOUBT_AFTER):
            self.door.heard(TROUBLE, begun=now, now=now)
        self.looks(now, TROUBLE)

    def looks(self, now: float, evidence: Evidence) -> None:
        """Its own request goes, where one is due."""
        if self.door.due(now):
            self.probes += 1
            self.door.probing = True
            self.door.probed(evidence, begun=now, now=now, answered=True)


def talk(now: float, *members: Member) -> None:
    """All say what is new and hear each other, as they do each second."""
    for member in members:
        if member.dead:
            continue
        said = member.talk.say(now)
        if said is not None:
            member.word = (said[0], now + said[1])
        words = {
            other.name: word
            for other in members
            if other is not member and other.word[1] > now and (word := read_word(other.word[0])) is not None
        }
        member.talk.hear(words, now)


def test_one_finds_out_and_one_looks() -> None:
    """The others send nothing from then on, ask nothing, and are let in when it has come through."""
    one, two, three = (Member(name) for name in ("one", "two", "three"))
    one.fails(T)
    for second in range(1, 20):
        talk(T + second, one, two, three)
        for each in (one, two, three):
            each.looks(T + second, TROUBLE)
        assert not two.door.admits(T + second)
        assert two.door.state is three.door.state is DoorState.DOWN
    assert one.probes > 1
    assert two.probes == three.probes == 0
    one.looks(one.door.until, SUCCESS)
    for second in range(int(OPEN_SECONDS) + 3):
        talk(one.door.until + second, one, two, three)
    assert one.door.open
    assert two.door.open
    assert three.door.open
    assert one.word == ("", one.word[1])


def test_two_find_out_at_once() -> None:
    """One of them leads."""
    one, two = Member("one"), Member("two")
    one.fails(T)
    two.fails(T)
    for second in range(1, 30):
        talk(T + second, one, two)
        for each in (one, two):
            each.looks(T + second, TROUBLE)
    assert (one.door.led, two.door.led) == (False, True)
    assert two.probes == 1


def test_a_leader_that_says_nothing_any_more() -> None:
    """Who has followed it looks for itself."""
    one, two = Member("one"), Member("two")
    one.fails(T)
    talk(T + 1, one, two)
    assert two.door.led
    one.dead = True
    for second in range(2, int(HEARD_SECONDS) + 4):
        assert two.door.led == (T + second <= one.word[1])
        talk(T + second, one, two)
        two.looks(T + second, SUCCESS)
    assert two.door.open
    assert two.probes == 1


def test_the_trouble_of_one_is_not_that_of_all() -> None:
    """Who comes through does not follow; and who has nothing to show for it finds out by itself after a while."""
    one, two, three = (Member(name) for name in ("one", "two", "three"))
    one.fails(T)
    for second in range(1, 90):
        two.door.heard(SUCCESS, begun=T + second - 1, now=T + second)
        talk(T + second, one, two, three)
        one.looks(T + second, TROUBLE)
        three.looks(T + second, SUCCESS)
        if three.door.open:
            three.door.heard(SUCCESS, begun=T + second, now=T + second)
        assert two.door.open
        assert three.door.open == (second > FOLLOWED_SECONDS + 1)
    assert not one.door.open
    assert three.probes == 1


def test_a_wait_that_was_asked_for_is_everybody_s() -> None:
    """To its moment, and without anybody's looking."""
    one, two = Member("one"), Member("two")
    one.door.heard(Evidence(Kind.BUSY, "status 429", 20.0), begun=T, now=T)
    talk(T + 1, one, two)
    assert not two.door.admits(T + 2)
    assert two.door.state is DoorState.BUSY
    for second in range(2, 20):
        talk(T + second, one, two)
    assert not two.door.admits(T + 19)
    talk(T + 21, one, two)
    assert two.door.admits(T + 21.1)
    assert two.probes == 0


def test_what_is_no_word() -> None:
    """Another version's, or nobody's."""
    assert read_word("") is None
    assert read_word("[1]") is None
    assert read_word('{"state":"upside down","serial":1}') is None
    assert read_word('{"state":"down","serial":1,"left":-1}') is None
