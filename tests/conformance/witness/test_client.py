"""The helper process and its client: hung, killed, vanished, foreign."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from twofold.base.errors import InvariantError
from twofold.base.ids import Term
from twofold.raft.types import Claim, ClaimStatus
from twofold.witness.backends.files import Files
from twofold.witness.backends.numbered import name_of
from twofold.witness.backends.share import ShareBackend
from twofold.witness.client import WitnessClient
from twofold.witness.errors import WitnessUrlInvalid
from twofold.witness.record import Incarnation, WitnessRecord, decode, encode
from twofold.witness.session import Answer, Identity, Trouble

Identities = tuple[Identity, Identity]
Candidate = Callable[..., Claim]


@asynccontextmanager
async def running(
    directory: Path, identity: Identity, timeout_ms: int = 5_000
) -> AsyncIterator[WitnessClient]:
    client = WitnessClient(f"file://{directory}", identity, timeout_ms=timeout_ms)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


def claimed(client: WitnessClient, claim: Claim) -> Awaitable[Answer]:
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    client.claim(claim, 33, future.set_result)
    return future


def looked(client: WitnessClient) -> Awaitable[Answer]:
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    client.load(future.set_result)
    return future


def helper_pid(client: WitnessClient) -> int:
    assert client._helper is not None
    return client._helper.pid


def newest(directory: Path) -> WitnessRecord:
    stored = ShareBackend(Files(directory)).load()
    assert stored is not None
    return decode(stored.data)


def hang(directory: Path, version: int) -> Path:
    """Make the next look at ``version`` block for good, as a dead mount does."""
    path = directory / name_of(version)
    os.mkfifo(path)
    return path


def test_a_claim_goes_through(
    medium: Path, identities: Identities, candidate: Candidate
) -> None:
    async def scenario() -> None:
        async with running(medium, identities[0]) as client:
            client.peer_incarnation = 0x2222
            assert not client.reachable
            assert (await looked(client)).status is ClaimStatus.OK
            assert client.reachable
            answer = await claimed(client, candidate(2))
            assert answer.status is ClaimStatus.OK
            assert answer.number == 2
            assert answer.record == newest(medium)
            assert answer.record is not None
            assert answer.record.last_revision == 33
            assert answer.record.members[1] == Incarnation(
                identities[1].member_id, 0x2222
            )
            assert client.newest_version_seen == 2
            # One read, one write: the claim itself read nothing.
            assert client.operations == 2

    asyncio.run(scenario())


def test_of_two_members_one_wins_and_both_answers_come(
    medium: Path, identities: Identities, candidate: Candidate
) -> None:
    async def scenario() -> None:
        async with (
            running(medium, identities[0]) as a,
            running(medium, identities[1]) as b,
        ):
            await asyncio.gather(looked(a), looked(b))
            answers = await asyncio.gather(
                claimed(a, candidate(2)), claimed(b, candidate(2))
            )
            statuses = sorted(answer.status.value for answer in answers)
            assert statuses == ["ok", "refused"]
            assert answers[0].view() == answers[1].view()

    asyncio.run(scenario())


def test_requests_are_answered_in_order(
    medium: Path, identities: Identities, candidate: Candidate
) -> None:
    async def scenario() -> None:
        async with running(medium, identities[0]) as client:
            claims = [candidate(term, term - 1) for term in range(2, 8)]
            answers = await asyncio.gather(*(claimed(client, one) for one in claims))
            assert [answer.number for answer in answers] == [2, 3, 4, 5, 6, 7]
            assert {answer.status for answer in answers} == {ClaimStatus.OK}

    asyncio.run(scenario())


def test_a_hung_medium_hangs_nobody_else(
    medium: Path, identities: Identities, candidate: Candidate
) -> None:
    async def scenario() -> None:
        async with running(medium, identities[0], timeout_ms=300) as client:
            await _until_up(client)
            before = helper_pid(client)
            fifo = hang(medium, 2)
            started_s = time.monotonic()
            answer = await claimed(client, candidate(2))
            took_s = time.monotonic() - started_s
            assert answer.status is ClaimStatus.UNREACHABLE
            assert "300 ms" in answer.reason
            assert 0.25 < took_s < 1.5
            assert helper_pid(client) != before
            # It may still land: never again.
            with pytest.raises(InvariantError):
                client.claim(candidate(2), 33, print)
            fifo.unlink()
            assert (await _retried(client, candidate, 3)).status is ClaimStatus.OK

    asyncio.run(scenario())


async def _until_up(client: WitnessClient) -> None:
    """A helper takes a moment to start; short timeouts are meant for later."""
    for _ in range(50):
        if (await looked(client)).status is ClaimStatus.OK:
            return
    raise AssertionError("the helper never came up")


async def _retried(client: WitnessClient, candidate: Candidate, term: int) -> Answer:
    for attempt in range(20):
        answer = await claimed(client, candidate(term + attempt))
        if answer.status is not ClaimStatus.UNREACHABLE:
            break
    return answer


def test_who_waits_behind_a_hung_request_is_answered_in_time(
    medium: Path, identities: Identities, candidate: Candidate
) -> None:
    async def scenario() -> None:
        async with running(medium, identities[0], timeout_ms=300) as client:
            hang(medium, 2)
            answers = await asyncio.wait_for(
                asyncio.gather(*(claimed(client, candidate(t)) for t in (2, 3, 4))), 5
            )
            assert {answer.status for answer in answers} == {ClaimStatus.UNREACHABLE}

    asyncio.run(scenario())


def test_a_write_abandoned_in_the_medium_may_land_and_does_no_harm(
    medium: Path, identities: Identities, candidate: Candidate
) -> None:
    # The abandoned claim of A lands after B has been told "not answering" by A.
    async def scenario() -> None:
        async with running(medium, identities[1]) as b:
            await looked(b)
            late = replace(
                newest(medium),
                version=2,
                term=Term(2),
                owner=identities[0].member_id,
                owner_incarnation=0x1111,
                nonce=b"late" * 4,
            )
            assert ShareBackend(Files(medium)).publish(encode(late), 2)
            answer = await claimed(b, candidate(2))
            assert answer.status is ClaimStatus.REFUSED
            assert answer.record == late

    asyncio.run(scenario())


def test_a_helper_that_died_idle_costs_nothing(
    medium: Path, identities: Identities, candidate: Candidate
) -> None:
    async def scenario() -> None:
        async with running(medium, identities[0]) as client:
            await looked(client)
            counted = client.operations
            os.kill(helper_pid(client), signal.SIGKILL)
            # At once, so that the end may or may not have been noticed.
            answer = await claimed(client, candidate(2))
            if answer.status is ClaimStatus.UNREACHABLE:
                answer = await claimed(client, candidate(3))
            assert answer.status is ClaimStatus.OK
            assert client.operations > counted

    asyncio.run(scenario())


def test_a_helper_that_dies_at_work_is_unreachable_at_once(
    medium: Path, identities: Identities, candidate: Candidate
) -> None:
    async def scenario() -> None:
        async with running(medium, identities[0], timeout_ms=20_000) as client:
            hang(medium, 2)
            waiting = claimed(client, candidate(2))
            os.kill(helper_pid(client), signal.SIGKILL)
            answer = await asyncio.wait_for(waiting, 5)
            assert answer.status is ClaimStatus.UNREACHABLE
            assert "died" in answer.reason

    asyncio.run(scenario())


def test_a_directory_that_vanishes_and_returns(
    medium: Path, identities: Identities, candidate: Candidate
) -> None:
    async def scenario() -> None:
        away = medium.with_name("away")
        async with running(medium, identities[0]) as client:
            await looked(client)
            medium.rename(away)
            answer = await claimed(client, candidate(2))
            assert answer.status is ClaimStatus.UNREACHABLE
            assert answer.trouble is Trouble.UNREACHABLE
            assert not client.reachable
            away.rename(medium)
            assert (await claimed(client, candidate(3))).status is ClaimStatus.OK

    asyncio.run(scenario())


def test_an_empty_directory_is_no_witness(
    tmp_path: Path, identities: Identities, candidate: Candidate
) -> None:
    # What an unmounted mount point looks like.
    async def scenario() -> None:
        async with running(tmp_path, identities[0]) as client:
            answer = await claimed(client, candidate(2))
            assert answer.status is ClaimStatus.UNREACHABLE
            assert answer.trouble is Trouble.ABSENT
            assert "witness init" in answer.reason
        assert list(tmp_path.iterdir()) == []

    asyncio.run(scenario())


def test_a_foreign_record_is_refused(
    medium: Path, identities: Identities, candidate: Candidate
) -> None:
    async def scenario() -> None:
        stranger = replace(identities[0], cluster_id=8)
        async with running(medium, stranger) as client:
            answer = await claimed(client, candidate(2))
            assert answer.status is ClaimStatus.UNREACHABLE
            assert answer.trouble is Trouble.UNUSABLE
            assert "cluster" in answer.reason
        assert newest(medium).version == 1

    asyncio.run(scenario())


def test_a_version_heard_of_from_the_peer_is_honoured(
    medium: Path, identities: Identities, candidate: Candidate
) -> None:
    async def scenario() -> None:
        async with running(medium, identities[0]) as client:
            client.newest_version_seen = 5
            answer = await claimed(client, candidate(2))
            assert answer.trouble is Trouble.UNUSABLE
            assert "back in time" in answer.reason

    asyncio.run(scenario())


def test_the_witness_id_is_learned(medium: Path, identities: Identities) -> None:
    async def scenario() -> None:
        unknowing = replace(identities[0], witness_id=0)
        async with running(medium, unknowing) as client:
            await looked(client)
            assert client.witness_id == 9

    asyncio.run(scenario())


def test_closing_answers_who_waits(
    medium: Path, identities: Identities, candidate: Candidate
) -> None:
    async def scenario() -> None:
        answers: list[Answer] = []
        async with running(medium, identities[0], timeout_ms=20_000) as client:
            hang(medium, 2)
            client.claim(candidate(2), 33, answers.append)
            client.load(answers.append)
            pid = helper_pid(client)
        assert [answer.status for answer in answers] == [ClaimStatus.UNREACHABLE] * 2
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        with pytest.raises(InvariantError):
            client.load(answers.append)

    asyncio.run(scenario())


def test_a_wrong_url_is_told_at_once(identities: Identities) -> None:
    with pytest.raises(WitnessUrlInvalid):
        WitnessClient("s3://bucket", identities[0])


def test_the_helper_is_small() -> None:
    code = (
        "import sys, twofold.witness.process\n"
        "heavy = {'asyncio', 'multiprocessing', 'pydantic', 'structlog', 'typer'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "status = open('/proc/self/status').read()\n"
        "print(status.split('VmRSS:')[1].split()[0])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 40_000
