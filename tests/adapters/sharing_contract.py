"""What every ledger promises to the members of a cluster: slots that are never granted twice, and words. With LedgerContract."""

import asyncio
from typing import Any

import msgspec
import pytest

from slackwater.core.sending.shared_slots import Ask, Grant
from slackwater.ports import Said

E = "http://e:1"


def ask(serial: int, wanted: int, held: int = 0, *, limit: int = 10, engine: str = E, longest: float = 0.1) -> Ask:
    """An ask; calls are short."""
    return Ask(
        engine=engine, wanted=wanted, held=held, limit=limit, serial=serial, longest=longest, known=longest > 0.0
    )


async def slots(ledger: Any, member: str, *asks: Ask, seconds: float = 60.0) -> int:
    """What is granted, of the first engine that was asked for."""
    grants: list[Grant] = await ledger.share_engines(member, asks, seconds=seconds, now=1000.0)
    return next(each.slots for each in grants if each.engine == asks[0].engine)


class SharingContract:
    """Inherit beside LedgerContract."""

    def test_what_is_granted_is_never_more_than_the_limit(self, run: Any) -> None:
        """Who comes late gets what is left, and its part once the others have given theirs back."""

        async def story(ledger: Any) -> None:
            assert await slots(ledger, "a", ask(1, 10)) == 10
            assert await slots(ledger, "b", ask(1, 10)) == 0
            # It has ten, should have five, and has eight out.
            assert await slots(ledger, "a", ask(2, 10, held=8)) == 8
            assert await slots(ledger, "b", ask(2, 10)) == 2
            assert await slots(ledger, "a", ask(3, 10, held=3)) == 5
            assert await slots(ledger, "b", ask(3, 10, held=2)) == 5
            assert await slots(ledger, "c", ask(1, 1)) == 0
            assert await slots(ledger, "a", ask(1, 10, engine="http://e:2")) == 10

        run(story)

    def test_a_grant_that_is_over_is_anybody_s(self, run: Any) -> None:
        """Whoever had it begins like everybody else, once it has nothing out any more."""

        async def story(ledger: Any) -> None:
            assert await slots(ledger, "a", ask(1, 10), seconds=0.0) == 10
            assert await slots(ledger, "b", ask(1, 7)) == 7
            assert await slots(ledger, "a", ask(2, 10)) == 3

        run(story)

    def test_calls_of_the_lost_are_counted_for_as_long_as_calls_are(self, run: Any) -> None:
        """An engine goes on with them. Whoever has had the longest says how long that is."""

        async def story(ledger: Any) -> None:
            assert await slots(ledger, "a", ask(1, 6, longest=1.0), seconds=0.0) == 6
            assert await slots(ledger, "b", ask(1, 10, longest=300.0)) == 4
            assert await slots(ledger, "b", ask(2, 10, held=4, longest=1.0)) == 10
            # Of others who are lost it is not asked what they believed.
            assert await slots(ledger, "c", ask(1, 0, longest=300.0), seconds=0.0) == 0
            assert await slots(ledger, "b", ask(3, 10, held=10, longest=1.0)) == 10

        run(story)

    def test_where_nobody_knows_how_long_calls_are(self, run: Any) -> None:
        """A minute is assumed, until somebody does, who may be lost by then as well."""

        async def story(ledger: Any) -> None:
            assert await slots(ledger, "a", ask(1, 6, longest=0.0), seconds=-50.0) == 6
            assert await slots(ledger, "b", ask(1, 10, longest=0.0)) == 4
            assert await slots(ledger, "c", ask(1, 0, longest=1.0), seconds=0.0) == 0
            assert await slots(ledger, "b", ask(2, 10, held=4, longest=0.0)) == 10

        run(story)

    def test_an_ask_that_comes_after_the_grant_is_over_is_not_heard(self, run: Any) -> None:
        """It was sent before that by one that had calls out. If it is lost, they go on, and have to be counted."""

        async def story(ledger: Any) -> None:
            assert await slots(ledger, "a", ask(1, 10, longest=100.0), seconds=0.0) == 10
            assert await slots(ledger, "a", ask(2, 2, held=2, longest=100.0)) == 0
            assert await slots(ledger, "b", ask(1, 10, longest=100.0)) == 0
            assert await slots(ledger, "a", ask(3, 2, longest=100.0)) == 2
            assert await slots(ledger, "b", ask(2, 10, longest=100.0)) == 8

        run(story)

    def test_whose_process_has_ended_leaves_nothing_behind(self, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its connections have ended with it: it counts until engines know that, however long it was granted something."""

        async def story(ledger: Any) -> None:
            for member, seconds in (("a", 0.0), ("b", 60.0)):
                assert await slots(ledger, member, ask(1, 5, longest=100.0), seconds=seconds) == 5
                await ledger.bury_shares(member, gone=True, now=1000.0)
            assert await slots(ledger, "c", ask(1, 10, longest=100.0)) == 5
            monkeypatch.setattr("slackwater.adapters.sql.sharing.CLOSED_SECONDS", 0.0)
            await ledger.bury_shares("b", gone=True, now=1000.0)
            assert await slots(ledger, "c", ask(2, 10, held=5, longest=100.0)) == 10

        run(story)

    def test_the_buried_get_nothing_any_more(self, run: Any) -> None:
        """What they were granted counts to its end all the same: they may be out there. They cannot give it up, either."""

        async def story(ledger: Any) -> None:
            assert await slots(ledger, "a", ask(1, 10)) == 10
            await ledger.bury_shares("a", now=1000.0)
            assert await slots(ledger, "a", ask(2, 10, held=10)) == 0
            await ledger.leave_engines("a", {E: 2})
            assert await slots(ledger, "a", ask(3, 10)) == 0
            assert await slots(ledger, "b", ask(1, 10)) == 0
            # Nor at an engine that it had nothing of, or if it never had any.
            assert await slots(ledger, "a", ask(4, 10, engine="http://e:2")) == 0
            await ledger.bury_shares("c", now=1000.0)
            assert await slots(ledger, "c", ask(1, 10, engine="http://e:2")) == 0
            assert await slots(ledger, "d", ask(1, 10, engine="http://e:2")) == 10

        run(story)

    def test_an_ask_that_comes_late_or_twice_is_not_heard(self, run: Any) -> None:
        """It would take back what a later one was granted."""

        async def story(ledger: Any) -> None:
            assert await slots(ledger, "a", ask(5, 10)) == 10
            assert await slots(ledger, "a", ask(5, 1)) == 0
            assert await slots(ledger, "a", ask(4, 1)) == 0
            assert await slots(ledger, "b", ask(1, 10)) == 0

        run(story)

    def test_one_may_be_alone(self, run: Any) -> None:
        """The others give back what they have, and get nothing before it is over; several are so one after the other."""

        async def story(ledger: Any) -> None:
            async def share(member: str, each: Ask) -> tuple[int, bool]:
                [grant] = await ledger.share_engines(member, [each], seconds=60.0, now=1000.0)
                return grant.slots, grant.alone

            def wants_alone(serial: int, held: int = 0) -> Ask:
                return msgspec.structs.replace(ask(serial, 1, held), alone=True)

            assert await share("a", ask(1, 10)) == (10, False)
            assert await share("b", wants_alone(1)) == (0, False)
            assert await share("a", ask(2, 10, held=6)) == (6, False)
            assert await share("b", wants_alone(2)) == (1, False)
            assert await share("a", ask(3, 10, held=0)) == (0, False)
            assert await share("b", wants_alone(3, held=1)) == (1, True)
            assert await share("a", wants_alone(4)) == (1, False)
            assert await share("b", wants_alone(4, held=1)) == (1, False)
            assert await share("b", ask(5, 5, held=0)) == (0, False)
            assert await share("a", wants_alone(5, held=1)) == (1, True)
            assert await share("a", ask(6, 5, held=1)) == (5, False)
            assert await share("b", ask(6, 5)) == (5, False)

        run(story)

    def test_who_leaves_gives_everything_back(self, run: Any) -> None:
        """At those engines alone."""

        async def story(ledger: Any) -> None:
            other = "http://e:2"
            await slots(ledger, "a", ask(1, 10), ask(1, 10, engine=other))
            await ledger.leave_engines("a", {E: 1})
            assert await slots(ledger, "b", ask(1, 10)) == 10
            assert await slots(ledger, "b", ask(1, 10, engine=other)) == 0
            # It comes a second time, after the member has begun anew.
            await slots(ledger, "a", ask(2, 10, held=10, engine=other))
            await ledger.leave_engines("a", {other: 1})
            assert await slots(ledger, "b", ask(2, 10, engine=other)) == 0

        run(story)

    def test_the_smaller_of_two_limits_holds(self, run: Any) -> None:
        """Where members have read their configurations at different times."""

        async def story(ledger: Any) -> None:
            assert await slots(ledger, "a", ask(1, 3, limit=6)) == 3
            assert await slots(ledger, "b", ask(1, 100, limit=100)) == 3

        run(story)

    def test_many_at_once(self, run: Any) -> None:
        """However they meet, what is granted is never more than the limit."""

        async def story(ledger: Any) -> None:
            found = await asyncio.gather(*(slots(ledger, f"m{number}", ask(1, 4)) for number in range(12)))
            assert sum(found) <= 10
            again = await asyncio.gather(
                *(slots(ledger, f"m{number}", ask(2, 4, held=held)) for number, held in enumerate(found))
            )
            assert sum(again) <= 10

        run(story)

    def test_words_are_heard_by_the_others(self, run: Any) -> None:
        """The last of each, on the topics that one wants to hear; until they are taken back, or their time is over."""

        async def story(ledger: Any) -> None:
            async def talk(member: str, said: dict[str, Said], topics: list[str]) -> dict[str, list[tuple[str, str]]]:
                found = await ledger.exchange_words(member, said, topics, now=1000.0)
                return {topic: [(each.member, each.text) for each in words] for topic, words in found.items()}

            assert await talk("a", {"t": Said("one", 60.0), "u": Said("two", 60.0)}, ["t"]) == {"t": []}
            assert await talk("b", {"t": Said("three", 60.0)}, ["t", "u"]) == {"t": [("a", "one")], "u": [("a", "two")]}
            assert await talk("a", {"t": Said("four", 60.0)}, ["t", "v"]) == {"t": [("b", "three")], "v": []}
            assert await talk("c", {}, ["t"]) == {"t": [("a", "four"), ("b", "three")]}
            await talk("a", {"t": Said("", 0.0)}, [])
            await talk("b", {"t": Said("over", 0.0)}, [])
            assert await talk("c", {}, ["t", "u"]) == {"t": [], "u": [("a", "two")]}
            [heard] = (await ledger.exchange_words("c", {}, ["u"], now=1000.0))["u"]
            assert 0.0 < heard.left <= 60.0

        run(story)
