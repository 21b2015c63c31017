"""The peer link's events, brought to the driver and the member."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

import structlog

from twofold.base.errors import TwofoldError
from twofold.daemon.config import TlsConfig
from twofold.member.driver import Driver
from twofold.member.identity import IdentityFile
from twofold.member.member import Member
from twofold.peer.frames import FrameKind, Hello
from twofold.peer.requests import AnswerDone
from twofold.raft.types import Message

log = structlog.get_logger()

_TELL_AGAIN_MS = 60_000
_REASONS_MAX = 16


class SnapshotFrames(Protocol):
    """Who takes the snapshot frames."""

    def frame(self, kind: int, body: bytes) -> None:
        """One frame, in order."""

    def lose(self) -> None:
        """The link is gone."""


@dataclass(slots=True)
class PeerEvents:
    """Implements `peer.link.LinkEvents`.

    A peer is known by its incarnation from the first contact on; one that comes
    back with another has lost its disk, and must not count.
    """

    identity: IdentityFile
    driver: Driver
    member: Member
    on_peer_known: Callable[[int], None]
    snapshots: SnapshotFrames | None = None
    leaving: bool = False
    _told_ms: dict[str, int] = field(default_factory=dict)

    def judge(self, hello: Hello) -> str:
        """See LinkEvents."""
        known = self.identity.now.peer_incarnation
        if known in (0, hello.incarnation):
            return ""
        return (
            f"member {hello.member_id:x} comes with the data of another incarnation"
            f" ({hello.incarnation:x}, known is {known:x}): its disk was lost or"
            " replaced, so it may not vote; it has to be replaced as a member"
        )

    def on_connected(self, hello: Hello) -> None:
        """See LinkEvents."""
        if self.identity.now.peer_incarnation == 0:
            self.identity.know_peer(hello.incarnation)
        self.leaving = False
        self.on_peer_known(hello.incarnation)
        log.info("peer connected", peer=f"{hello.member_id:x}")
        self.driver.connected()

    def on_disconnected(self, dead: bool) -> None:
        """See LinkEvents."""
        log.warning("peer disconnected", process_gone=dead, leaving=self.leaving)
        if self.snapshots is not None:
            self.snapshots.lose()
        self.driver.disconnected(dead or self.leaving)

    def on_messages(self, messages: list[Message]) -> None:
        """See LinkEvents."""
        self.driver.receive(messages)

    def on_frame(self, kind: int, body: bytes) -> None:
        """See LinkEvents."""
        if kind == FrameKind.FORWARD:
            self.driver.receive_forwarded(body)
        elif kind == FrameKind.LEAVING:
            self.leaving = True
        elif self.snapshots is not None:
            self.snapshots.frame(kind, body)

    def on_request(self, method: int, body: bytes, done: AnswerDone) -> None:
        """See LinkEvents."""

        def answer(result: bytes | TwofoldError) -> None:
            done(result)

        self.member.answer_peer(method, body, answer)

    def on_refused(self, reason: str) -> None:
        """See LinkEvents."""
        now_ms = self.driver.clock.now_ms()
        told_ms = self._told_ms.get(reason)
        if told_ms is not None and now_ms - told_ms < _TELL_AGAIN_MS:
            return  # They try several times a second, for as long as it takes.
        if len(self._told_ms) >= _REASONS_MAX:
            self._told_ms.clear()
        self._told_ms[reason] = now_ms
        log.error("peer refused", reason=reason)


def host_and_port(url: str) -> tuple[str, int]:
    """The address in a peer URL that the configuration has checked."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0


def peer_contexts(
    tls: TlsConfig,
) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    """Contexts to accept and to dial with; both ends show their certificates."""
    if not tls.enabled:
        return None, None
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context in (server, client):
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(tls.cert_file, tls.key_file)
        if tls.trusted_ca_file:
            context.load_verify_locations(tls.trusted_ca_file)
    if tls.client_cert_auth:
        server.verify_mode = ssl.CERT_REQUIRED
    if tls.skip_client_san_verification or not tls.trusted_ca_file:
        client.check_hostname = False
    if not tls.trusted_ca_file:
        client.verify_mode = ssl.CERT_NONE
    return server, client
