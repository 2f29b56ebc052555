"""What is said of a gentle stop while it waits, and how to end that."""


def stopping_line(calls: int, *, grace_seconds: float, again: bool = True) -> str:
    """What a stop waits for, for how long at most, and how to stop at once. `again`: it was a signal that began it."""
    out = "1 call is out" if calls == 1 else f"{calls:,} calls are out"
    what = (
        f"{out}, waiting for {'its answer' if calls == 1 else 'their answers'}" if calls else "ending what is under way"
    )
    signal = "press Ctrl-C (or signal) again" if again else "press Ctrl-C"
    rest = "; what is out then is sent again next time" if calls else ""
    return f"stopping: {what} for up to {grace_seconds:g} s; {signal} to stop now{rest}"
