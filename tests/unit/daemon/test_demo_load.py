"""The load's ledger counts exactly what was acknowledged."""

from __future__ import annotations

import asyncio

import pytest

from twofold.client.errors import ConnectionLost, NotConnected, RpcError
from twofold.daemon.demo_load import Ack, Ledger, Load, key_of, missing, value_of
from twofold.proto import kv_pb2


class FakeStore:
    """Keeps what is put; raises the errors it was given first."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.values: dict[bytes, bytes] = {}
        self.closed = False
        self.enough = asyncio.Event()
        self.limit = 50

    async def put(
        self, key: bytes, value: bytes, *, timeout_ms: int | None = None
    ) -> int:
        await asyncio.wait([asyncio.create_task(asyncio.Event().wait())], timeout=0)
        if self.errors:
            raise self.errors.pop(0)
        self.values[key] = value
        if len(self.values) >= self.limit:
            self.enough.set()
        return len(self.values)

    async def range(self, key: bytes, range_end: bytes) -> list[kv_pb2.KeyValue]:
        return [
            kv_pb2.KeyValue(key=found, value=value)
            for found, value in self.values.items()
            if key <= found < range_end
        ]

    def close(self) -> None:
        self.closed = True


def ledger(*acks: tuple[float, float]) -> Ledger:
    made = Ledger([0])
    for began_s, ended_s in acks:
        made.add(Ack(0, began_s, ended_s))
    return made


def test_the_gap_is_the_longest_silence_around_the_kill() -> None:
    found = ledger((0.0, 0.1), (0.1, 0.9), (0.9, 1.4), (1.4, 1.5))
    assert found.gap_ms(1.0, 2.0) == pytest.approx(500)


def test_a_later_silence_is_another_matter() -> None:
    found = ledger((0.0, 0.9), (0.9, 1.1), (1.1, 1.9), (1.9, 2.5), (2.5, 9.0))
    assert found.gap_ms(1.0, 2.0) == pytest.approx(800)
    assert ledger((0.0, 0.9), (0.9, 9.0)).gap_ms(1.0, 2.0) == pytest.approx(8100)


def test_no_gap_is_known_before_the_first_answer() -> None:
    assert ledger((0.0, 0.9)).gap_ms(1.0, 2.0) is None
    assert ledger().gap_ms(1.0, 2.0) is None


def test_a_write_in_flight_is_not_a_new_write() -> None:
    found = ledger((0.9, 1.2), (1.2, 1.3))
    assert found.first_new_ms(1.0) == pytest.approx(300)
    assert [ack.began_s for ack in found.in_flight(1.0)] == [0.9]
    assert ledger((0.9, 1.2)).first_new_ms(1.0) is None


def test_the_rate_is_that_of_the_last_window() -> None:
    assert ledger((0, 0.1), (0, 1.5), (0, 1.9)).rate(2.0) == 2
    assert ledger((0, 0.1), (0, 1.5), (0, 1.9)).total == 3


def test_every_acknowledged_write_is_there() -> None:
    async def scene() -> None:
        store = FakeStore()
        load = Load([store, store], workers=3)
        load.start()
        await store.enough.wait()
        await load.stop()
        assert load.ledger.total == len(store.values) >= 50
        assert await missing(store, load.ledger) == []
        assert store.closed
        assert load.failure == ""

    asyncio.run(scene())


@pytest.mark.parametrize(
    "error", [NotConnected("a"), ConnectionLost("b"), RpcError(14, "c")]
)
def test_an_unknown_outcome_is_asked_again_at_the_other_member(
    error: Exception,
) -> None:
    async def scene() -> None:
        bad, good = FakeStore(error), FakeStore()
        good.limit = 1
        load = Load([bad, good], workers=1)
        load.start()
        await good.enough.wait()
        await load.stop()
        assert load.ledger.repeats == 1
        assert bad.values == {}
        assert good.values[key_of(0, 0)] == value_of(0, 0)

    asyncio.run(scene())


def test_a_service_that_stays_away_is_a_failure() -> None:
    async def scene() -> None:
        store = FakeStore(*[NotConnected("gone")] * 1000)
        load = Load([store], workers=1)
        load.start()
        await asyncio.wait([asyncio.create_task(asyncio.Event().wait())], timeout=0.05)
        await load.stop()
        assert load.ledger.total == 0
        assert "not acknowledged" in load.failure

    asyncio.run(scene())


def test_a_lost_or_changed_write_is_found() -> None:
    async def scene() -> None:
        store = FakeStore()
        store.values = {key_of(0, number): value_of(0, number) for number in range(3)}
        del store.values[key_of(0, 1)]
        store.values[key_of(0, 2)] = b"another"
        found = await missing(store, Ledger([3]))
        assert found == [key_of(0, 1), key_of(0, 2)]

    asyncio.run(scene())
