"""Frames on the wire: length (u32), kind (u8), body; little-endian."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from twofold.base.ids import MemberId
from twofold.peer.errors import FrameInvalid

PROTOCOL_VERSION = 1
FRAME_BYTES_MAX = 64 << 20
HELLO_BYTES_MAX = 1 << 10
"""What a stranger may make this member buffer."""

_HEAD = struct.Struct("<IB")
_HELLO = struct.Struct("<8sHQQQQ")
_MAGIC = b"2fold-pr"


class FrameKind(IntEnum):
    """What a frame's body is."""

    HELLO = 1
    WELCOME = 2
    """The member with the lower id takes this connection for the live one."""
    REFUSE = 3
    """UTF-8 reason; the connection ends."""
    MESSAGES = 4
    """Messages of the core, one after the other; see codec.py."""
    FORWARD = 5
    """Packed commands for the leader; see store/apply/commands.py."""
    REQUEST = 6
    RESPONSE = 7
    SNAPSHOT_BEGIN = 8
    SNAPSHOT_CHUNK = 9
    SNAPSHOT_END = 10
    SNAPSHOT_ACK = 11
    SNAPSHOT_ABORT = 12
    LEAVING = 13
    """The sender stops on purpose: its peer need not wait for silence."""
    ACCEPT = 14
    """The member with the higher id takes the other for its peer."""


Frame = tuple[int, bytes]


def seal(kind: int, body: bytes) -> bytes:
    """A frame, ready to send."""
    return _HEAD.pack(len(body), kind) + body


class FrameReader:
    """Cuts a byte stream into frames."""

    def __init__(self, frame_bytes_max: int) -> None:
        self.frame_bytes_max = frame_bytes_max
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete with ``data``.

        Raises:
            FrameInvalid: a frame is larger than allowed.
        """
        buffer = self._buffer
        # Nearly always a read ends where a frame ends: no copy into the buffer.
        source: bytes | bytearray = data
        if buffer:
            buffer += data
            source = buffer
        frames: list[Frame] = []
        at = 0
        size = len(source)
        while size - at >= _HEAD.size:
            length, kind = _HEAD.unpack_from(source, at)
            if length > self.frame_bytes_max:
                raise FrameInvalid(
                    f"a frame of {length} bytes, {self.frame_bytes_max} are allowed"
                )
            end = at + _HEAD.size + length
            if end > size:
                break
            frames.append((kind, bytes(source[at + _HEAD.size : end])))
            at = end
        if source is data:
            buffer += data[at:]
        else:
            del buffer[:at]
        return frames


@dataclass(frozen=True, slots=True)
class Hello:
    """Who speaks. ``boot_id`` is new with each start of the process."""

    cluster_id: int
    member_id: MemberId
    incarnation: int
    boot_id: int
    version: int = PROTOCOL_VERSION


def encode_hello(hello: Hello) -> bytes:
    """The body of a HELLO frame."""
    return _HELLO.pack(
        _MAGIC,
        hello.version,
        hello.cluster_id,
        hello.member_id,
        hello.incarnation,
        hello.boot_id,
    )


def decode_hello(body: bytes) -> Hello:
    """Read a HELLO; a later version may append fields, which are skipped.

    Raises:
        FrameInvalid: not a greeting of twofold.
    """
    if len(body) < _HELLO.size:
        raise FrameInvalid("the greeting is too short: not a twofold member?")
    magic, version, cluster_id, member_id, incarnation, boot_id = _HELLO.unpack_from(
        body
    )
    if magic != _MAGIC:
        raise FrameInvalid("the greeting is not that of a twofold member")
    return Hello(cluster_id, MemberId(member_id), incarnation, boot_id, version)


def judge_hello(mine: Hello, theirs: Hello, peer_id: MemberId) -> str:
    """Why the other side is refused, for people; empty when it is the peer."""
    if theirs.version != mine.version:
        return f"protocol version {theirs.version}, this member speaks {mine.version}"
    if theirs.cluster_id != mine.cluster_id:
        return (
            f"cluster id {theirs.cluster_id:x}, this member belongs to "
            f"{mine.cluster_id:x}: a peer address points to another cluster"
        )
    if theirs.member_id != peer_id:
        if theirs.member_id == mine.member_id:
            return f"member id {theirs.member_id:x} is this member's own"
        return f"member id {theirs.member_id:x}, the peer is {peer_id:x}"
    return ""
