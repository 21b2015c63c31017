"""The core's messages as bytes: type (u8) and fixed fields, little-endian."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from twofold.base.ids import Index, MemberId, Term
from twofold.peer.errors import FrameInvalid
from twofold.raft.types import (
    Append,
    AppendReply,
    Entry,
    EntryKind,
    Message,
    OwnerView,
    Position,
    PreVote,
    PreVoteReply,
    ReadIndex,
    ReadIndexReply,
    SnapshotInstalled,
    TimeoutNow,
    Vote,
    VoteReply,
)

_PRE_VOTE = struct.Struct("<BQQQQ")
_VOTE = struct.Struct("<BQQQQ?")
_VOTE_REPLY = struct.Struct("<BQ?")
_APPEND = struct.Struct("<BQQQQQ?BI")
_APPEND_REPLY = struct.Struct("<BQ?QQB")
_INSTALLED = struct.Struct("<BQQ")
_TIMEOUT_NOW = struct.Struct("<BQ")
_READ_INDEX = struct.Struct("<BQQ")
_READ_INDEX_REPLY = struct.Struct("<BQQQ")
_ENTRY = struct.Struct("<QQQBI")
_RECORD = struct.Struct("<QQQQQ")

(
    _T_PRE_VOTE,
    _T_PRE_VOTE_REPLY,
    _T_VOTE,
    _T_VOTE_REPLY,
    _T_APPEND,
    _T_APPEND_REPLY,
    _T_INSTALLED,
    _T_TIMEOUT_NOW,
    _T_READ_INDEX,
    _T_READ_INDEX_REPLY,
) = range(1, 11)


def encode(messages: Sequence[Message]) -> bytes:
    """The body of a MESSAGES frame."""
    parts: list[bytes] = []
    for message in messages:
        if isinstance(message, Append):
            _encode_append(parts, message)
        elif isinstance(message, AppendReply):
            parts.append(
                _APPEND_REPLY.pack(
                    _T_APPEND_REPLY,
                    message.term,
                    message.ok,
                    message.match,
                    message.round,
                    message.record is not None,
                )
            )
            _encode_record(parts, message.record)
        else:
            parts.append(_encode_small(message))
    return b"".join(parts)


def decode(body: bytes) -> list[Message]:
    """The messages of a MESSAGES frame, in order.

    Raises:
        FrameInvalid: the body is not made of whole, known messages.
    """
    messages: list[Message] = []
    at = 0
    try:
        while at < len(body):
            message, at = _DECODERS[body[at]](body, at)
            messages.append(message)
    except (struct.error, ValueError, KeyError) as error:
        raise FrameInvalid(f"not a message of the peer: {error!r}") from error
    if at != len(body):
        raise FrameInvalid("a message is cut off")
    return messages


def _encode_append(parts: list[bytes], message: Append) -> None:
    parts.append(
        _APPEND.pack(
            _T_APPEND,
            message.term,
            message.prev_index,
            message.prev_term,
            message.commit,
            message.round,
            message.solo,
            message.record is not None,
            len(message.entries),
        )
    )
    _encode_record(parts, message.record)
    for index, term, subterm, kind, data in message.entries:
        parts.append(_ENTRY.pack(index, term, subterm, kind, len(data)))
        parts.append(data)


def _encode_record(parts: list[bytes], record: OwnerView | None) -> None:
    if record is not None:
        parts.append(
            _RECORD.pack(
                record.version,
                record.term,
                record.subterm,
                record.owner,
                record.owner_incarnation,
            )
        )


def _encode_small(message: Message) -> bytes:
    match message:
        case PreVote(term, last_index, last):
            return _PRE_VOTE.pack(_T_PRE_VOTE, term, last_index, *last)
        case PreVoteReply(term, granted):
            return _VOTE_REPLY.pack(_T_PRE_VOTE_REPLY, term, granted)
        case Vote(term, last_index, last, transfer):
            return _VOTE.pack(_T_VOTE, term, last_index, *last, transfer)
        case VoteReply(term, granted):
            return _VOTE_REPLY.pack(_T_VOTE_REPLY, term, granted)
        case SnapshotInstalled(term, index):
            return _INSTALLED.pack(_T_INSTALLED, term, index)
        case TimeoutNow(term):
            return _TIMEOUT_NOW.pack(_T_TIMEOUT_NOW, term)
        case ReadIndex(term, context):
            return _READ_INDEX.pack(_T_READ_INDEX, term, context)
        case ReadIndexReply(term, context, index):
            return _READ_INDEX_REPLY.pack(_T_READ_INDEX_REPLY, term, context, index)
        case _:
            raise TypeError(f"no encoding for {type(message).__name__}")


def _decode_record(body: bytes, at: int, present: int) -> tuple[OwnerView | None, int]:
    if not present:
        return None, at
    version, term, subterm, owner, incarnation = _RECORD.unpack_from(body, at)
    record = OwnerView(version, term, subterm, MemberId(owner), incarnation)
    return record, at + _RECORD.size


def _decode_append(body: bytes, at: int) -> tuple[Message, int]:
    _, term, prev_index, prev_term, commit, turn, solo, present, count = (
        _APPEND.unpack_from(body, at)
    )
    record, at = _decode_record(body, at + _APPEND.size, present)
    entries: list[Entry] = []
    for _ in range(count):
        index, entry_term, subterm, kind, size = _ENTRY.unpack_from(body, at)
        at += _ENTRY.size
        data = body[at : at + size]
        at += size
        entries.append(Entry(index, entry_term, subterm, EntryKind(kind), data))
    if at > len(body):
        raise FrameInvalid("an entry is cut off")
    message = Append(
        term, prev_index, prev_term, tuple(entries), commit, turn, solo, record
    )
    return message, at


def _decode_append_reply(body: bytes, at: int) -> tuple[Message, int]:
    _, term, ok, match, turn, present = _APPEND_REPLY.unpack_from(body, at)
    record, at = _decode_record(body, at + _APPEND_REPLY.size, present)
    return AppendReply(term, ok, match, turn, record), at


def _decode_pre_vote(body: bytes, at: int) -> tuple[Message, int]:
    _, term, last_index, last_term, last_subterm = _PRE_VOTE.unpack_from(body, at)
    last = Position(last_term, last_subterm)
    return PreVote(term, last_index, last), at + _PRE_VOTE.size


def _decode_pre_vote_reply(body: bytes, at: int) -> tuple[Message, int]:
    _, term, granted = _VOTE_REPLY.unpack_from(body, at)
    return PreVoteReply(term, granted), at + _VOTE_REPLY.size


def _decode_vote(body: bytes, at: int) -> tuple[Message, int]:
    _, term, last_index, last_term, last_subterm, transfer = _VOTE.unpack_from(body, at)
    last = Position(last_term, last_subterm)
    return Vote(term, last_index, last, transfer), at + _VOTE.size


def _decode_vote_reply(body: bytes, at: int) -> tuple[Message, int]:
    _, term, granted = _VOTE_REPLY.unpack_from(body, at)
    return VoteReply(term, granted), at + _VOTE_REPLY.size


def _decode_installed(body: bytes, at: int) -> tuple[Message, int]:
    _, term, index = _INSTALLED.unpack_from(body, at)
    return SnapshotInstalled(Term(term), Index(index)), at + _INSTALLED.size


def _decode_timeout_now(body: bytes, at: int) -> tuple[Message, int]:
    _, term = _TIMEOUT_NOW.unpack_from(body, at)
    return TimeoutNow(Term(term)), at + _TIMEOUT_NOW.size


def _decode_read_index(body: bytes, at: int) -> tuple[Message, int]:
    _, term, context = _READ_INDEX.unpack_from(body, at)
    return ReadIndex(Term(term), context), at + _READ_INDEX.size


def _decode_read_index_reply(body: bytes, at: int) -> tuple[Message, int]:
    _, term, context, index = _READ_INDEX_REPLY.unpack_from(body, at)
    message = ReadIndexReply(Term(term), context, Index(index))
    return message, at + _READ_INDEX_REPLY.size


_DECODERS: dict[int, Callable[[bytes, int], tuple[Message, int]]] = {
    _T_PRE_VOTE: _decode_pre_vote,
    _T_PRE_VOTE_REPLY: _decode_pre_vote_reply,
    _T_VOTE: _decode_vote,
    _T_VOTE_REPLY: _decode_vote_reply,
    _T_APPEND: _decode_append,
    _T_APPEND_REPLY: _decode_append_reply,
    _T_INSTALLED: _decode_installed,
    _T_TIMEOUT_NOW: _decode_timeout_now,
    _T_READ_INDEX: _decode_read_index,
    _T_READ_INDEX_REPLY: _decode_read_index_reply,
}
