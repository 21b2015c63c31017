"""WatchResponse messages, written by hand.

Events arrive encoded, tag and length included, and are shared by all watchers
that see them: a stream adds its header and the watch's id in front.
"""

from __future__ import annotations

from collections.abc import Iterator

from twofold.etcd.codec import block, tagged

NO_WATCH = -1
"""The id of replies that concern no watch, or one that never came to be."""

_CREATED = b"\x18\x01"
_CANCELED = b"\x20\x01"
_FRAGMENT = b"\x38\x01"


def watch_id_field(watch_id: int) -> bytes:
    """Field 2; nothing for 0."""
    return tagged(b"\x10", watch_id)


def created(header: bytes, id_field: bytes) -> bytes:
    """The watch exists."""
    return header + id_field + _CREATED


def not_created(header: bytes, reason: str) -> bytes:
    """The watch never came to be: created and canceled in one."""
    id_field = watch_id_field(NO_WATCH)
    return b"".join(
        (header, id_field, _CREATED, _CANCELED, block(b"\x32", reason.encode()))
    )


def canceled(header: bytes, id_field: bytes) -> bytes:
    """The client's cancel is done."""
    return header + id_field + _CANCELED


def compacted(header: bytes, id_field: bytes, compact_revision: int) -> bytes:
    """What the watch should have told next is gone."""
    revision = tagged(b"\x28", compact_revision)
    return b"".join((header, id_field, _CANCELED, revision))


def progress(header: bytes, id_field: bytes) -> bytes:
    """Everything up to the header's revision has been sent."""
    return header + id_field


def split_events(group: bytes) -> list[bytes]:
    """The single events of encoded ones: tag (one byte), length, body."""
    events = []
    start, end = 0, len(group)
    while start < end:
        at, size, shift = start + 1, 0, 0
        while True:
            byte = group[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        events.append(group[start : at + size])
        start = at + size
    return events


def fragments(
    header: bytes, id_field: bytes, group: bytes, bytes_max: int
) -> Iterator[bytes]:
    """The events in messages below ``bytes_max``, one event at the least each."""
    head = header + id_field
    if len(head) + len(group) < bytes_max:
        yield head + group
        return
    piece: list[bytes] = []
    size = len(head)
    for event in split_events(group):
        if piece and size + len(event) + len(_FRAGMENT) >= bytes_max:
            yield b"".join((head, _FRAGMENT, *piece))
            piece, size = [], len(head)
        piece.append(event)
        size += len(event)
    yield b"".join((head, *piece))
