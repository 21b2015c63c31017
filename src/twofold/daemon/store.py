"""`twofold serve`: builds one member out of its parts, runs it and stops it."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import signal
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog
import uvloop

from twofold.base.cluster_ids import cluster_id_of, member_id_of
from twofold.base.disk import RealDisk
from twofold.base.errors import InvariantError, TwofoldError
from twofold.base.ids import Index, MemberId, Subterm, Term
from twofold.base.tasks import Supervisor
from twofold.daemon.adapters import LoopClock, WalLog, WitnessGate
from twofold.daemon.config import ServeConfig
from twofold.daemon.peering import PeerEvents, host_and_port, peer_contexts
from twofold.daemon.snapshots import Snapshots
from twofold.etcd.context import WireOptions
from twofold.etcd.front.port import Limits
from twofold.etcd.front.server import Front
from twofold.etcd.front.tls import ReloadingContext, TlsFiles
from twofold.etcd.routes import Services
from twofold.member.checkpoints import Checkpointer
from twofold.member.driver import Driver
from twofold.member.facade import MemberView
from twofold.member.identity import (
    ForeignData,
    Identity,
    IdentityFile,
    check_log,
    is_unused,
    load_identity,
    lock_directory,
    new_identity,
    save_identity,
)
from twofold.member.member import LeaderUnknown, Member, MemberOptions
from twofold.member.recovery import reconcile
from twofold.peer.frames import Hello
from twofold.peer.heartbeat import HeartbeatConfig, Heartbeats
from twofold.peer.link import LinkConfig, PeerLink
from twofold.peer.requests import AnswerDone
from twofold.raft.core import Core
from twofold.raft.types import (
    NO_MEMBER,
    CoreConfig,
    Entry,
    EntryKind,
    HardState,
    Mode,
    PeerAlive,
    RecordSeen,
    Restart,
    Role,
)
from twofold.store.apply.applier import Applier
from twofold.store.backend.lmdb import LmdbBackend
from twofold.store.wal.log import Wal
from twofold.store.wal.records import WalMeta
from twofold.telemetry.logs import configure
from twofold.telemetry.metrics import Meter
from twofold.witness.client import WitnessClient
from twofold.witness.record import utc_text
from twofold.witness.session import Answer
from twofold.witness.session import Identity as WitnessIdentity

log = structlog.get_logger()

_TICK_PAIR_S = 0.02
_TICK_SINGLE_S = 0.1
_HOUSEKEEP_S = 0.25
_CHECKPOINT_AGE_MS = 60_000
_HAND_OVER_S = 1.5
_DRAIN_S = 1.0


def run(config: ServeConfig) -> int:
    """Serve until a signal says stop; returns the exit code."""
    configure(config.log_level)
    for note in config.notes:
        log.warning("configuration", note=note)
    return uvloop.run(_serve(config))


async def _serve(config: ServeConfig) -> int:
    try:
        server = StoreServer(config)
        await server.start()
    except (TwofoldError, OSError) as error:
        log.error("cannot start", error=str(error), kind=type(error).__name__)
        return 1
    return await server.until_stopped()


class StoreServer:
    """One member with everything it needs, from data directory to sockets."""

    def __init__(self, config: ServeConfig) -> None:
        self.config = config
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._unhandled)
        self._stop = asyncio.Event()
        self._exit_code = 0
        self._timers: list[asyncio.TimerHandle] = []
        self.meter = Meter()
        self.directory = config.data_dir / "member"
        RealDisk().make_dir(self.directory)
        self._lock = lock_directory(self.directory)
        self.identity = self._identity()
        self.identity_file = IdentityFile(self.directory, self.identity)
        self.peer_id = self._peer_id()
        self.witness = self._witness()
        self.link: PeerLink | None = None
        self.heartbeats: Heartbeats | None = None
        self.snapshots: Snapshots | None = None
        self.tasks = Supervisor(self._crashed)
        self._heard_ms = 0
        self._mode: Mode | None = None
        self._told: dict[Mode, str] = {}
        self.log, self.driver = self._driver()
        self.member = self._member()
        self.checkpointer = Checkpointer(
            self.driver,
            self.log,
            self._hand_over,
            config.snapshot_count,
            _CHECKPOINT_AGE_MS,
            lambda failure: log.error("checkpoint failed", error=str(failure)),
        )
        self.log.on_mark = self.checkpointer.marked
        self.services = Services(self.member, self._wire_options(), self.meter)
        self.fronts: list[Front] = []

    # ---- building

    def _identity(self) -> Identity:
        config = self.config
        token = config.initial_cluster_token
        cluster_id = cluster_id_of(config.initial_cluster, token)
        member_id = member_id_of(config.initial_cluster[config.name], token)
        identity = load_identity(self.directory)
        if identity is None:
            if not is_unused(self.directory):
                raise ForeignData(
                    f"{self.directory} is not empty and holds no data of twofold:"
                    " choose another --data-dir"
                )
            identity = new_identity(cluster_id, member_id)
            save_identity(self.directory, identity)
        if identity.member_id != member_id:
            raise ForeignData(
                f"{self.directory} belongs to member {identity.member_id:x}, the"
                f" configuration makes this one {member_id:x}: check --name,"
                " --initial-cluster and --initial-cluster-token"
            )
        return identity

    def _peer_id(self) -> MemberId:
        config = self.config
        if not config.two_members:
            return NO_MEMBER
        token = config.initial_cluster_token
        return member_id_of(config.peer_urls_of_peer, token)

    def _witness(self) -> WitnessClient | None:
        config = self.config
        if not config.witness_url or not config.two_members:
            return None
        own = MemberId(self.identity.member_id)
        first, second = sorted((own, self.peer_id))
        identity = WitnessIdentity(
            self._cluster_id(),
            self.identity.witness_id,
            own,
            self.identity.incarnation,
            (first, second),
        )
        return WitnessClient(
            config.witness_url,
            identity,
            newest_version_seen=self.identity.witness_version,
        )

    def _cluster_id(self) -> int:
        config = self.config
        return cluster_id_of(config.initial_cluster, config.initial_cluster_token)

    def _driver(self) -> tuple[WalLog, Driver]:
        config = self.config
        wal, restart = self._open_wal(config.wal_dir or self.directory / "wal")
        backend = LmdbBackend(self.directory / "store")
        applier = Applier(backend)
        restart = reconcile(wal, restart, applier.applied_index, applier.position)
        core_config = CoreConfig(
            member_id=MemberId(self.identity.member_id),
            incarnation=self.identity.incarnation,
            peer=self.peer_id,
            witness=self.witness is not None,
            heartbeat_ms=config.heartbeat_ms,
            leader_suspicion_ms=max(100, config.suspicion_ms * 3 // 4),
            follower_suspicion_ms=config.suspicion_ms,
            seed=secrets.randbits(32),
        )
        clock = LoopClock(self._loop)
        wal_log = WalLog(wal, self._loop, self.meter, self._log_failed)
        core = Core(core_config, restart, clock.now_ms())
        gate = None if self.witness is None else WitnessGate(self.witness)
        origin = secrets.randbits(63) | 1
        driver = Driver(core, applier, wal_log, None, gate, clock, origin)
        wal_log.on_tickets = driver.durable
        return wal_log, driver

    def _open_wal(self, directory: Path) -> tuple[Wal, Restart]:
        identity = self.identity
        # A log made anew would forget votes and acknowledged writes.
        first = not identity.started and not (self.directory / "store").exists()
        if first and not any(directory.glob("*.wal")):
            meta = WalMeta(
                identity.cluster_id,
                MemberId(identity.member_id),
                identity.incarnation,
            )
            Wal.create(directory, meta).close()
        wal, restart = Wal.open(directory)
        check_log(identity, wal.meta.member_id, wal.meta.incarnation)
        if first and self.config.bootstrap_alone and restart == Restart():
            # An empty log may claim nothing; this one is beyond the fresh
            # record, and only one member's claim of it can win.
            own = MemberId(identity.member_id)
            entry = Entry(Index(1), Term(1), Subterm(0), EntryKind.EMPTY, b"")
            wal.append((entry,), HardState(Term(1), own))
            wal.sync()
            wal.close()
            wal, restart = Wal.open(directory)
        self.identity_file.know_started()
        return wal, restart

    def _member(self) -> Member:
        config = self.config
        token = config.initial_cluster_token
        views = tuple(
            MemberView(
                member_id_of(urls, token),
                name if name == config.name else "",
                urls,
                config.advertise_client_urls if name == config.name else (),
            )
            for name, urls in sorted(config.initial_cluster.items())
        )
        options = MemberOptions(
            name=config.name,
            client_urls=config.advertise_client_urls,
            members=views,
            quota_bytes=config.quota_bytes or -1,
            witness_url=config.witness_url,
            compaction_period_ms=config.auto_compaction_period_ms,
            compaction_revisions=config.auto_compaction_revisions,
        )
        member = Member(
            self.driver,
            self._cluster_id(),
            MemberId(self.identity.member_id),
            options,
            config.election_timeout_ms,
            self._ask_leader,
        )
        if self.witness is not None:
            witness = self.witness
            member.witness_reachable = lambda: witness.reachable
        return member

    def _ask_leader(self, method: int, body: bytes, done: AnswerDone) -> None:
        if self.link is None:
            done(LeaderUnknown("there is no other member"))
        else:
            self.link.ask(method, body, done)

    def _wire_options(self) -> WireOptions:
        config = self.config
        return WireOptions(
            request_bytes_max=config.max_request_bytes,
            txn_ops_max=config.max_txn_ops,
            watch_progress_interval_ms=config.watch_progress_interval_ms,
            request_timeout_ms=5_000 + 2 * config.election_timeout_ms,
        )

    # ---- running

    async def start(self) -> None:
        """Open the log, the witness, the link and the ports, in that order."""
        self.log.start()
        if self.witness is not None:
            await self.witness.start()
            self.witness.load(self._record_loaded)
        if self.peer_id != NO_MEMBER:
            await self._start_link()
        for stop_signal in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(stop_signal, self._stop.set)
        tick_s = _TICK_SINGLE_S if self.peer_id == NO_MEMBER else _TICK_PAIR_S
        self._every(tick_s, self._tick)
        self._every(_HOUSEKEEP_S, self._housekeep)
        probe_ms = self.config.witness_probe_ms
        if self.witness is not None and probe_ms:
            self._every(probe_ms / 1000, self._probe_witness)
        self.driver.tick()
        await self._listen()
        gc.collect()
        gc.freeze()
        log.info(
            "ready to serve client requests",
            name=self.config.name,
            member=f"{self.identity.member_id:x}",
            cluster=f"{self._cluster_id():x}",
        )

    async def until_stopped(self) -> int:
        """Wait for the signal, then stop in good order."""
        await self._stop.wait()
        log.info("stopping")
        self.member.hand_over()
        deadline = self._loop.time() + _HAND_OVER_S
        while self._leads_with_peer() and self._loop.time() < deadline:
            await asyncio.sleep(0.01)
        self.services.stop()
        self.member.stopping = True
        await asyncio.gather(*(front.stop(_DRAIN_S) for front in self.fronts))
        self.member.fail_all()
        for timer in self._timers:
            timer.cancel()
        if self.link is not None:
            self.link.leave()
            await self.link.stop()
        if self.heartbeats is not None:
            self.heartbeats.stop()
        await self.tasks.close()
        if self.snapshots is not None:
            self.snapshots.close()
        if self.witness is not None:
            await self.witness.close()
        if not self._exit_code:
            await self._last_checkpoint()
        self.log.close()
        self.driver.applier.backend.close()
        log.info("stopped", exit_code=self._exit_code)
        return self._exit_code

    def _leads_with_peer(self) -> bool:
        link = self.link
        return self.driver.core.role is Role.LEADER and link is not None and link.up

    async def _last_checkpoint(self) -> None:
        """So that the next start has little to replay; the log has it all anyway."""
        done = asyncio.Event()
        if self.checkpointer.start(done.set, done.set):
            try:
                await asyncio.wait_for(done.wait(), 10)
            except TimeoutError:
                log.warning("the last checkpoint took too long and was left")

    async def _start_link(self) -> None:
        config = self.config
        events = PeerEvents(
            self.identity_file,
            self.driver,
            self.member,
            self._peer_known,
        )
        listen_host, listen_port = host_and_port(config.listen_peer_urls[0])
        peer_host, peer_port = host_and_port(config.peer_urls_of_peer[0])
        server_tls, client_tls = peer_contexts(config.peer_tls)
        hello = Hello(
            cluster_id=self._cluster_id(),
            member_id=MemberId(self.identity.member_id),
            incarnation=self.identity.incarnation,
            boot_id=self.driver.proposals.origin,
        )
        link_config = LinkConfig(
            hello=hello,
            peer_id=self.peer_id,
            listen_host=listen_host,
            listen_port=listen_port,
            peer_host=peer_host,
            peer_port=peer_port,
            server_tls=server_tls,
            client_tls=client_tls,
        )
        self.link = PeerLink(link_config, events, self._crashed)
        self.driver.link = self.link
        self.snapshots = Snapshots(
            self.directory / "store",
            self.driver,
            self.checkpointer,
            self.link,
            self.tasks,
            self._install_failed,
        )
        events.snapshots = self.snapshots
        self.driver.on_send_snapshot = self.snapshots.send
        self.heartbeats = Heartbeats(
            HeartbeatConfig(
                hello=hello,
                peer_id=self.peer_id,
                bind_host=listen_host,
                bind_port=listen_port,
                peer_host=peer_host,
                peer_port=peer_port,
                interval_ms=config.heartbeat_ms,
            ),
            lambda name, error: self._hand_over(partial(self._crashed, name, error)),
        )
        self.heartbeats.start()
        await self.link.start()

    async def _listen(self) -> None:
        config = self.config
        limits = Limits(
            message_bytes_max=config.max_request_bytes + 512 * 1024,
            streams_max=min(config.max_concurrent_streams, 1 << 20),
        )
        front = Front(self.services.routes, limits)
        self.driver.after_turn = front.flush
        counters = front.counters
        self.services.traffic = lambda: (counters.bytes_in, counters.bytes_out)
        self.fronts.append(front)
        tls = self._client_tls()
        urls = (*config.listen_client_urls, *config.listen_client_http_urls)
        bound = await front.listen(urls, tls)
        if config.listen_metrics_urls:
            metrics = Front(self.services.monitoring)
            self.fronts.append(metrics)
            bound += await metrics.listen(config.listen_metrics_urls, tls)
        log.info("listening", urls=bound)

    def _client_tls(self) -> ssl.SSLContext | None:
        tls = self.config.client_tls
        if not tls.enabled:
            return None
        files = TlsFiles(
            Path(tls.cert_file),
            Path(tls.key_file),
            Path(tls.trusted_ca_file) if tls.trusted_ca_file else None,
            tls.client_cert_auth,
        )
        report = partial(log.error, "certificate not usable, the old one stays")
        return ReloadingContext(files, lambda text: report(error=text)).context

    # ---- what wakes it

    def _refusal(self) -> dict[str, object]:
        """What an operator needs to decide: who owns the data, and since when."""
        answer = None if self.witness is None else self.witness.last_answer
        record = None if answer is None else answer.record
        if record is None:
            return {}
        names = {view.member_id: view.name for view in self.member.members()}
        names[self.peer_id] = names.get(self.peer_id) or self.config.peer_name
        return {
            "owner": names.get(record.owner, f"{record.owner:x}"),
            "owner_since": utc_text(record.wall_time_ms),
            "owner_revision_then": record.last_revision,
            "way_out": (
                "start the owner, or recover its disk; nothing else brings back"
                " writes that only it holds"
            ),
        }

    def _hand_over(self, callback: Callable[[], None]) -> None:
        """Bring a callback from another thread to the loop."""
        self._loop.call_soon_threadsafe(callback)

    def _every(self, period_s: float, action: Callable[[], None]) -> None:
        slot = len(self._timers)

        def run() -> None:
            self._timers[slot] = self._loop.call_later(period_s, run)
            action()

        self._timers.append(self._loop.call_later(period_s, run))

    def _tick(self) -> None:
        # A transport may have swallowed what left a step in its callback.
        self._give_up_if_broken(None)
        heartbeats = self.heartbeats
        if heartbeats is not None:
            heartbeats.beat()
            heard_ms = heartbeats.last_heard_ms
            if heard_ms > self._heard_ms:
                self._heard_ms = heard_ms
                self.driver.step(PeerAlive(self.driver.clock.now_ms()))
        self.driver.tick()
        self.member.compact()
        self.checkpointer.look()
        self._watch_mode()

    def _watch_mode(self) -> None:
        """Tell the log when and why the way to commit changes."""
        mode = self.driver.core.mode
        if mode is self._mode:
            return
        self._mode = mode
        status = self.driver.core.status()
        if mode not in (Mode.ELECTING, Mode.CLAIMING):
            self._told.clear()
        elif self._told.get(mode) == status.reason:
            return  # It tries again every two seconds: once is enough to know.
        self._told[mode] = status.reason
        facts: dict[str, object] = {
            "mode": mode.value,
            "leader": f"{status.leader:x}",
            "term": status.term,
            "revision": self.member.store.current_revision,
        }
        if status.reason:
            facts["reason"] = status.reason
        if mode is Mode.REFUSED:
            facts |= self._refusal()
        tell = log.error if mode is Mode.REFUSED else log.info
        tell("mode changed", **facts)

    def _housekeep(self) -> None:
        self.member.housekeep()
        self._remember_witness()

    def _record_loaded(self, answer: Answer) -> None:
        view = answer.view()
        if view is None:
            log.error("witness not usable", reason=answer.reason)
        else:
            self.driver.step(RecordSeen(self.driver.clock.now_ms(), view))

    def _probe_witness(self) -> None:
        if self.witness is not None and not self.member.stopping:
            self.driver.witness_operations += 1
            self.witness.load(self._record_loaded)

    def _remember_witness(self) -> None:
        """Keep the newest version durably: a record that goes back is not ours."""
        witness, record = self.witness, self.driver.core.record
        if witness is None or record is None:
            return
        witness.newest_version_seen = max(witness.newest_version_seen, record.version)
        self.identity_file.know_witness(witness.witness_id, witness.newest_version_seen)

    def _peer_known(self, incarnation: int) -> None:
        if self.witness is not None:
            self.witness.peer_incarnation = incarnation
        if self.heartbeats is not None:
            self.heartbeats.expect(incarnation)

    def _log_failed(self, error: BaseException) -> None:
        log.error(
            "the log cannot be written: this member stops, its peer goes on",
            error=str(error),
        )
        # Nothing can be answered any more, and each moment counts for the peer.
        os._exit(1)

    def _crashed(self, name: str, error: BaseException) -> None:
        log.error("a task failed", task=name, error=repr(error))
        self._give_up_if_broken(error)
        self._fatal()

    def _install_failed(self, error: BaseException) -> None:
        # The old state is closed and the new one not there: only a start helps.
        log.error("the leader's snapshot cannot be installed", error=str(error))
        os._exit(1)

    def _unhandled(
        self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]
    ) -> None:
        """An exception left a callback: our own fault."""
        error = context.get("exception")
        log.error(
            "internal error",
            what=context.get("message"),
            error=repr(error),
            exc_info=error,
        )
        self._give_up_if_broken(error)

    def _give_up_if_broken(self, error: object) -> None:
        if isinstance(error, InvariantError) or self.driver.inside:
            # Nothing more may be answered: the state is not what we think it is.
            os._exit(1)

    def _fatal(self) -> None:
        self._exit_code = 1
        self._stop.set()
