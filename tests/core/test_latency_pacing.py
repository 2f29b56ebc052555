"""The window of an engine that tells nothing but its answers: what makes it grow, what cuts it, and what does neither."""

from slackwater.core.sending.latency_pacing import DOUBLE_SECONDS, SAMPLES, LatencyPacer
from slackwater.core.sending.pacing import FIRST_WINDOW
from slackwater.core.sending.step_target import Point

MOST, OUTPUT = 64.0, 100


class Plain:
    """An engine that takes `token` seconds for a token, and as much more for each request that is there."""

    def __init__(self, pacer: LatencyPacer, *, others: float = 0.0) -> None:
        self.pacer = pacer
        self.others = others
        self.now = 0.0

    def token(self) -> float:
        return 0.01 * (1.0 + 0.05 * (self.others + self.pacer.window))

    def go(self, flights: int, *, output: int = OUTPUT, prompt: int = 0) -> float:
        """So many times all that may be out is answered."""
        for _ in range(flights):
            begun, out = self.now, int(self.pacer.window)
            self.now += self.token() * (output + prompt / 150)
            for _ in range(out):
                self.pacer.answered(begun, self.now, prompt=prompt, output=output, most=MOST)
        return self.pacer.window


def test_an_engine_that_is_never_slower() -> None:
    """The window is the cap soon."""
    pacer = LatencyPacer()
    for answer in range(2 * int(MOST)):
        pacer.answered(float(answer), answer + 1.0, prompt=500, output=OUTPUT, most=MOST)
    assert pacer.window == MOST


def test_it_settles_where_tokens_take_what_the_pace_allows() -> None:
    """Without anybody else: they are slower for our own sake, which nobody can tell apart."""
    for point, limit in ((Point.STRICT, 1.2), (Point.GENTLE, 1.5)):
        engine = Plain(LatencyPacer(point))
        engine.go(200)
        steps = []
        for _ in range(50):
            engine.go(1)
            steps.append(engine.token())
        least = 0.01 * (1.0 + 0.05)
        assert least < max(steps) <= 1.15 * limit * engine.pacer.least, point  # type: ignore[operator]


def test_others_that_come() -> None:
    """The window is cut, and cut again, and one request is always out."""
    engine = Plain(LatencyPacer(), others=2.0)
    before = engine.go(50)
    engine.others = 200.0
    assert engine.go(20) < before / 2
    assert engine.go(100) >= 1.0
    engine.others = 2.0
    assert engine.go(200) > before / 2


def test_one_cut_for_each_flight() -> None:
    """What was out with the larger window says nothing of the smaller one."""
    pacer = LatencyPacer(Point.SLO, slo=0.01)
    for _ in range(10 * SAMPLES):
        pacer.answered(0.0, 100.0, prompt=0, output=100, most=MOST)
    assert pacer.window == 0.7 * FIRST_WINDOW


def test_a_time_that_was_named() -> None:
    """Whatever the least is, tokens may take that."""
    engine = Plain(LatencyPacer(Point.SLO, slo=0.02))
    engine.go(200)
    assert 0.015 < engine.token() < 0.022
    engine.pacer.aim_for(Point.SLO, slo=0.03)
    engine.go(200)
    assert 0.025 < engine.token() < 0.033


def test_answers_of_any_length_are_alike() -> None:
    """Short ones, and those with long prompts, are no news."""
    engine = Plain(LatencyPacer(Point.SLO, slo=0.03))
    engine.go(200)
    before = engine.pacer.window
    engine.go(50, output=10, prompt=3_000)
    assert engine.pacer.window > 0.7 * before
    engine.go(50, output=2_000)
    assert engine.pacer.window > 0.7 * before


def test_the_least_is_forgotten() -> None:
    """An engine that has become slower for good is not starved for ever."""
    pacer = LatencyPacer()
    for _ in range(SAMPLES):
        pacer.answered(0.0, 1.0, prompt=0, output=100, most=MOST)
    small = [pacer.window]
    for moment in range(1, 9):
        now = moment * DOUBLE_SECONDS / 4
        for _ in range(SAMPLES):
            pacer.answered(now - 2.0, now, prompt=0, output=100, most=MOST)
        small.append(pacer.window)
    assert min(small) < small[0]
    assert small[-1] > min(small)
