"""How the slots of an engine are divided over the members of a cluster: who may have how many requests out, and until when.

A member is *granted* slots until a moment. Within that it may have so many requests out; when the moment comes it has none any
more, whatever it knows or believes. So the sum of what is granted is never above the engine's limit, and neither is what is out,
if members die, stand still or wake up late. Who has to give some back says a smaller number only once so many are back.

Before: the ledger, which has what was granted and asks here inside its transaction. What must hold: nobody is granted a slot that
somebody else may still use.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

# A grant ends so long after it was asked for, and is renewed so often: that may fail three times before nothing new is sent.
GRANT_SECONDS = 12.0
RENEW_SECONDS = 3.0
# Nothing new is sent so long before a grant ends: what has been sent is there by then, on a machine that hardly gets to run, too.
MARGIN_SECONDS = RENEW_SECONDS
# Where an engine has fewer slots than members that want some, those who have one change so often.
TURN_SECONDS = 10.0
# Calls of a member that is lost go on at the engine, which may not notice. They are counted for as long as calls take: that is
# somewhat more than the longest of late took, once so many have ended and it has been watched for twice that long. Before that
# the first that end are the shortest: twice the longest is assumed, and where no member knows it, this at least. It is never more
# than the last of these.
LONGER, KNOWN_CALLS, KNOWN_TIMES = 1.25, 20, 2.0
LONGEST_UNKNOWN, LONGEST_MAX = 60.0, 900.0

# The connections of a process that has ended are closed by its kernel, of which an engine knows after so long at the latest.
CLOSED_SECONDS = 1.0


class Ask(Struct, frozen=True, kw_only=True):
    """What a member wants of one engine."""

    engine: str
    wanted: int
    """How many requests it could have out."""
    held: int
    """How many it may have out from now on whatever is answered, or whether: what it has out, or may have by its last grant."""
    limit: int
    """How many the engine takes, as this member knows it."""
    serial: int
    """Its number among those of this member: a later one has been heard where the answer to this one comes late."""
    longest: float = 0.0
    """How long its calls may take, in seconds, and whether that is known (`lasts`)."""
    known: bool = False
    alone: bool = False
    """Whether it wants nobody else to have anything out: it has a request of which the engine may die."""


class Grant(Struct, frozen=True, kw_only=True):
    """What it gets."""

    engine: str
    slots: int
    """So many requests it may have out."""
    part: int
    """So many it should have: where it has more it gives them back, where it has fewer it gets them when others have."""
    others: int
    """How many other members use the engine."""
    alone: bool = False
    """Whether nobody else has anything out, nor will have, as long as it asks for that."""
    heard: bool = True
    """Whether the ask was heard at all. It is not where it came late, or from a member that is buried."""


class Holding(Struct, frozen=True, kw_only=True):
    """What the ledger has of one member at one engine."""

    member: str
    wanted: int
    slots: int
    limit: int
    until: float
    serial: int
    longest: float
    known: bool
    alone: bool
    gone: bool
    """Whether it is known that its process has ended, and its connections with it."""


def lasts(longest: float, *, ended: int, watched: float) -> tuple[float, bool]:
    """How long calls take at most, in seconds, and whether that is known.

    `longest` is how long the longest of late took, or has until now; so many have `ended`, and they were `watched` for so long.
    """
    known = ended >= KNOWN_CALLS and watched >= KNOWN_TIMES * longest
    return min(LONGEST_MAX, (LONGER if known else KNOWN_TIMES) * longest), known


def divide(limit: int, wanted: Mapping[str, int], *, turn: int = 0) -> dict[str, int]:
    """Fair parts: whoever wants less than an equal part gets it, and the others share what that leaves, equally.

    Where there are fewer slots than who want one, `turn` says who has them now.
    """
    hungry = sorted(name for name, count in wanted.items() if count > 0)
    shift = turn if limit < len(hungry) else 0
    places = {name: (place + shift) % len(hungry) for place, name in enumerate(hungry)}
    parts = dict.fromkeys(wanted, 0)
    left, still = max(0, limit), len(hungry)
    for name in sorted(hungry, key=lambda each: (wanted[each], places[each])):
        parts[name] = min(wanted[name], left // still)
        left, still = left - parts[name], still - 1
    return parts


def counted_until(holding: Holding, longest: float) -> float:
    """When the requests of a member that is not heard of any more are over at the engine for sure.

    It sends none in the last moments of its grant, and itself ends at that end what is out; but where it stands still, or its
    machine is gone without a word, the engine goes on with them. `longest` is how long calls of the others may take.
    """
    if holding.gone:
        return holding.until
    return holding.until + max(0.0, max(longest, holding.longest) - MARGIN_SECONDS)


def refused(ask: Ask) -> Grant:
    """What it gets that is not heard."""
    return Grant(engine=ask.engine, slots=0, part=0, others=0, heard=False)


def granted(ask: Ask, *, member: str, holdings: Sequence[Holding], now: float) -> Grant:
    """What a member gets, where these are the holdings of the engine, its own perhaps among them; `now` is the ledger's.

    What is not heard changes nothing: what the member has stays as it is, and as long as it is.
    """
    mine = next((each for each in holdings if each.member == member), None)
    if mine is not None and mine.serial >= ask.serial:
        return refused(ask)
    others = [each for each in holdings if each.member != member]
    living = [each for each in others if each.until > now]
    # What those who live know of calls holds for the lost, too; what those believed who are lost is of no account for others.
    longest = max([ask.longest, *(each.longest for each in living)])
    if not (ask.known or any(each.known for each in holdings)):
        longest = max(longest, LONGEST_UNKNOWN)
    others = [each for each in others if counted_until(each, longest) > now]
    # Members that do not agree on the limit, because one of them has read a newer configuration, keep to the smaller one.
    limit = min([ask.limit, *(each.limit for each in living)])
    free = max(0, limit - sum(each.slots for each in others))
    lingering = sum(each.slots for each in others) - sum(each.slots for each in living)
    wanted = {each.member: each.wanted for each in living} | {member: ask.wanted}
    part = divide(limit - lingering, wanted, turn=int(now // TURN_SECONDS))[member]
    # One after the other, where several want to be alone.
    loner = min([each.member for each in living if each.alone] + [member] * ask.alone, default=member)
    part = part if loner == member else 0
    kept = 0
    if mine is not None and mine.until > now:
        # What it has out, or may have, stays its own.
        kept = min(ask.held, mine.slots)
    elif mine is not None and ask.held and counted_until(mine, longest) > now:
        # It asked before its grant was over. It has ended its calls since, or it is lost and they go on: its next word will show.
        return refused(ask)
    slots = max(kept, min(part, free))
    alone = ask.alone and loner == member and not any(each.slots for each in others)
    return Grant(engine=ask.engine, slots=slots, part=part, others=len(living), alone=alone)
