"""An engine that dies of a line, and members that share it: nobody's line is taken for the one. In virtual time."""

from pathlib import Path

import pytest

from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.sharing import Sharing
from tests.pipeline.engines import Service, served
from tests.pipeline.test_sending import Mortal, texts

NAMES = ("one", "two", "three")


class Way:
    """The way of one member to an engine."""

    def __init__(self, engine: Mortal) -> None:
        self.send, self.close = engine.send, engine.close


@pytest.mark.parametrize("shares", [True, False])
def test_only_the_line_fails_of_which_it_dies(tmp_path: Path, *, shares: bool) -> None:
    """A suspect goes while no member has anything out. Where members do not share, two suspects may be out together."""

    async def story(service: Service) -> tuple[set[str], int]:
        engine = Mortal(service, "one 3", "two 5")
        sharings = []
        for name in NAMES:
            way = Way(engine)
            sharing = Sharing(service.ledger, service.clock, member=name) if shares else None
            slots = 16 if shares else 5
            service.engines[id(way)] = Engine("http://e", service.clock, slots=slots, sharing=sharing)
            if sharing is not None:
                sharing.start()
                sharings.append(sharing)
            service.serve(way, slots=slots, deployment=name)
        batches = [await service.batch(texts(60, name), deployment=name) for name in NAMES]
        failed = set()
        for name, batch in zip(NAMES, batches, strict=True):
            await service.ended(batch, seconds_max=3000)
            failed |= {f"{name} {number}" for number, each in (await service.outcomes(batch)).items() if each.failed}
        await service.stop()
        for sharing in sharings:
            await sharing.close()
        return failed, engine.deaths

    failed, deaths = served(tmp_path, story)
    assert {"one 3", "two 5"} <= failed
    if shares:
        assert failed == {"one 3", "two 5"}
        assert deaths <= 8
