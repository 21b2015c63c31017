"""Rules of what the daemon makes of the link's events."""

from pathlib import Path

import structlog

from twofold.daemon.peering import PeerEvents
from twofold.member.identity import IdentityFile, new_identity
from twofold.member.member import Member, MemberOptions
from twofold.testing.fakes_member import ME, HeldLog, StillClock, paired_driver


def test_a_refusal_that_repeats_is_told_once_a_minute(tmp_path: Path) -> None:
    clock = StillClock()
    driver = paired_driver(HeldLog(), clock)
    member = Member(driver, 1, ME, MemberOptions("m", (), ()), 0)
    identity = IdentityFile(tmp_path, new_identity(1, ME))
    events = PeerEvents(identity, driver, member, lambda _incarnation: None)
    with structlog.testing.capture_logs() as lines:
        for clock.now in range(0, 61_000, 50):
            events.on_refused("another disk")
        events.on_refused("another cluster")
    reasons = [line["reason"] for line in lines]
    assert reasons == ["another disk", "another disk", "another cluster"]
