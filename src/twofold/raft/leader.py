"""The leader's rules: propose, replicate, commit, confirm reads."""

from __future__ import annotations

from twofold.base.errors import InvariantError
from twofold.base.ids import Index, Subterm
from twofold.raft import quorum
from twofold.raft.state import Phase, State
from twofold.raft.types import (
    NO_INDEX,
    Append,
    AppendReply,
    Effects,
    Entry,
    EntryKind,
    Mode,
    ReadIndex,
    ReadIndexReply,
    ReadState,
    Role,
    SnapshotInstalled,
)

SNAPSHOT_LOST_MS = 10_000
"""A streamed snapshot that nobody confirms for so long is streamed again."""


def become(state: State, mode: Mode, out: Effects) -> None:
    """Lead the current term; its empty entry opens it."""
    state.role = Role.LEADER
    state.phase = Phase.IDLE
    state.leader = state.member_id
    state.mode = mode
    state.refused = False
    state.reason = ""
    state.backoff.reset()
    state.forget_claim()
    state.follower_reads.lapse(out)
    state.subterm = Subterm(0)
    state.highest_subterm = 0
    state.round = 0
    state.transfer_ms = 0
    now_ms = state.now_ms
    state.acknowledged_ms = state.commit_ms = state.disk_ms = now_ms
    state.check_ms = now_ms + state.config.heartbeat_ms
    state.solo_ms = now_ms
    alone = mode is not Mode.PAIR
    state.healthy_ms = None if alone else now_ms
    state.alone_through = quorum.ALL if alone else 0
    if mode is Mode.SOLO:
        state.hold_down.enter_solo(now_ms)
    state.progress.reset(state.log.last_index, now_ms)
    if alone or not state.link_up:
        state.progress.probe()
    if state.config.trace:
        out.trace.append(f"lead term {state.term} {mode.value}")
    state.term_start = state.pair_from = open_subterm(state, out)


def open_subterm(state: State, out: Effects) -> int:
    """Append the empty entry of a term or subterm; returns its index."""
    index = Index(state.log.last_index + 1)
    entry = Entry(index, state.term, state.subterm, EntryKind.EMPTY, b"")
    state.log.append((entry,))
    out.entries.append(entry)
    if state.config.trace:
        out.trace.append(f"append {state.term}.{state.subterm}/{index} empty")
    send(state, out)
    return index


def propose(state: State, payloads: tuple[bytes, ...], out: Effects) -> None:
    """Append ``payloads`` to the log and send them on their way."""
    if state.role is not Role.LEADER or state.transfer_ms:
        out.dropped = True
        return
    if not payloads:
        return
    log, term, subterm = state.log, state.term, state.subterm
    index = log.last_index
    entries = []
    for payload in payloads:
        index = Index(index + 1)
        entries.append(Entry(index, term, subterm, EntryKind.COMMANDS, payload))
    log.append(entries)
    out.entries.extend(entries)
    if state.config.trace:
        first = entries[0].index
        out.trace.append(f"append {term}.{subterm}/{first}..{index}")
    send(state, out)


def send(state: State, out: Effects) -> None:
    """Send what the peer lacks, as far as the window allows."""
    progress, log = state.progress, state.log
    if progress.probing or progress.snapshot or not state.config.peer:
        return
    last_index = log.last_index
    while progress.next <= last_index and progress.has_room():
        previous = progress.next - 1
        term = log.term_at(previous)
        if term is None:
            # Compacted away: the next answer tells whether it needs a snapshot.
            progress.probe()
            heartbeat(state, out)
            return
        entries = log.batch(progress.next, state.config.append_bytes_max)
        _append(state, previous, tuple(entries), out)
        progress.sent(entries)


def heartbeat(state: State, out: Effects) -> None:
    """Send an empty append: sign of life, commit index and read round."""
    if not state.config.peer:
        return
    previous = max(state.progress.next - 1, state.log.snapshot_index)
    _append(state, previous, (), out)


def _append(
    state: State, previous: int, entries: tuple[Entry, ...], out: Effects
) -> None:
    previous_term = state.log.term_at(previous)
    if previous_term is None:
        raise InvariantError(f"broken: no entry {previous} to build on")
    commit = state.commit
    out.appends.append(
        Append(
            state.term,
            Index(previous),
            previous_term,
            entries,
            commit,
            state.round,
            state.mode is Mode.SOLO,
            state.news(),
        )
    )
    state.progress.sent_commit = commit
    state.sent_ms = state.now_ms


def receive_reply(state: State, message: AppendReply, out: Effects) -> None:
    """The peer follows: confirm reads, move its match, send what it lacks."""
    if state.role is not Role.LEADER:
        return
    state.acknowledged_ms = state.now_ms
    state.reads.confirm(message.round, out)
    progress = state.progress
    if not message.ok:
        _rejected(state, message.match, out)
        return
    if message.match > state.log.last_index:
        return
    log = state.log
    probed = max(progress.next - 1, log.snapshot_index)
    moved = progress.acknowledge(message.match, state.now_ms)
    if progress.snapshot and progress.match >= log.snapshot_index:
        progress.snapshot = False
        progress.probing = True
    if progress.probing and not progress.snapshot and message.match >= probed:
        # Less may only mean that its disk is not done yet.
        progress.probing = False
        progress.next = progress.match + 1
    if progress.match:
        progress.empty = False
    if moved:
        advance(state, out)
    if progress.next <= log.last_index:
        send(state, out)


def _rejected(state: State, hint: int, out: Effects) -> None:
    progress, log = state.progress, state.log
    if must_own_first(state, hint):
        progress.empty = True
        progress.probe()
        return
    progress.empty = False
    following = max(min(hint, log.last_index), progress.match) + 1
    if following <= log.snapshot_index:
        if not progress.snapshot:
            progress.probe()
            progress.next = following
            _stream_snapshot(state, out)
        return
    if progress.probing and not progress.snapshot and following >= progress.next:
        return  # An answer to something older than the running probe.
    progress.snapshot = False
    progress.probe()
    progress.next = following
    heartbeat(state, out)


def must_own_first(state: State, hint: int) -> bool:
    """Whether the witness must name us before this peer gets anything.

    A new disk beside an old one: half of our log there would be beyond an old
    record, and the peer could lead with it, though we may have committed the
    other half alone (as a single member) or with the disk that is gone.
    """
    return (
        hint == 0
        and state.progress.match == 0
        and state.term_start > 1
        and state.config.witness
        and state.mode is not Mode.SOLO
    )


def _stream_snapshot(state: State, out: Effects) -> None:
    progress = state.progress
    if state.now_ms < progress.snapshot_ms:
        return
    progress.snapshot = True
    progress.snapshot_ms = 0
    out.send_snapshot = True
    if state.config.trace:
        out.trace.append(f"peer needs entries before {state.log.snapshot_index}")


def snapshot_sent(state: State, ok: bool) -> None:
    """The stream ended; wait for the peer's word, or try again after a pause."""
    progress = state.progress
    if state.role is not Role.LEADER or not progress.snapshot:
        return
    if ok:
        progress.snapshot_ms = state.now_ms + SNAPSHOT_LOST_MS
        return
    progress.snapshot = False
    progress.probing = True
    progress.snapshot_ms = state.now_ms + state.config.heartbeat_ms


def receive_installed(state: State, message: SnapshotInstalled, out: Effects) -> None:
    """The peer has the snapshot: go on behind it."""
    if state.role is not Role.LEADER or message.index > state.log.last_index:
        return
    progress = state.progress
    progress.snapshot = False
    progress.snapshot_ms = 0
    state.acknowledged_ms = state.now_ms
    moved = progress.acknowledge(message.index, state.now_ms)
    progress.probe()
    heartbeat(state, out)
    if moved:
        advance(state, out)


def advance(state: State, out: Effects) -> None:
    """Commit what enough disks hold and what this term has reached."""
    progress = state.progress
    index = quorum.commit_index(
        state.log.persisted, progress.match, state.alone_through
    )
    # Only an entry of our own term commits by counting (Raft §5.4.2).
    if index <= state.commit or index < state.term_start:
        return
    first = state.commit < state.term_start
    state.commit = Index(index)
    state.commit_ms = state.now_ms
    if state.config.trace:
        out.trace.append(f"commit {index}")
    if first:
        _answer_early(state, out)
    if progress.match >= state.log.last_index and not progress.probing:
        # Nothing is on the way that would carry the news to the peer.
        heartbeat(state, out)


def _answer_early(state: State, out: Effects) -> None:
    early, state.reads.early = state.reads.early, []
    for context in early:
        request_read(state, context, out)
    remote, state.reads.early_remote = state.reads.early_remote, []
    for context in remote:
        out.appends.append(
            ReadIndexReply(state.term, context, state.commit),
        )


def request_read(state: State, context: int, out: Effects) -> None:
    """Answer at once when alone; else by the next confirmation of the peer."""
    if state.commit < state.term_start:
        state.reads.early.append(context)
    elif state.mode is Mode.SOLO or state.mode is Mode.SINGLE:
        out.reads.append(ReadState(context, state.commit))
    else:
        state.round += 1
        state.reads.wait(state.round, context, state.commit)
        heartbeat(state, out)


def receive_read_index(state: State, message: ReadIndex, out: Effects) -> None:
    """Answer the peer's read: that it asks in our term confirms us."""
    if state.role is not Role.LEADER or message.term != state.term:
        out.appends.append(ReadIndexReply(state.term, message.context, NO_INDEX))
        return
    if state.commit < state.term_start:
        state.reads.early_remote.append(message.context)
        return
    if state.progress.sent_commit < state.commit and not state.progress.probing:
        heartbeat(state, out)  # Else it could not apply what it may read.
    out.appends.append(ReadIndexReply(state.term, message.context, state.commit))
