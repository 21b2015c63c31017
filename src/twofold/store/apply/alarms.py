"""Active alarms, and what they forbid."""

from __future__ import annotations

import struct

from twofold.proto.rpc_pb2 import CORRUPT, NONE, NOSPACE, AlarmRequest

_ALARM = struct.Struct("<QI")


class Alarms:
    """Alarms as (member id, type), sorted."""

    def __init__(self, data: bytes | None = None) -> None:
        self._active: set[tuple[int, int]] = set()
        if data is not None:
            self._active = {
                (int(member_id), int(alarm))
                for member_id, alarm in _ALARM.iter_unpack(data)
            }
        self.no_space = False
        self.corrupt = False
        self._judge()

    def _judge(self) -> None:
        kinds = {alarm for _, alarm in self._active}
        self.no_space = NOSPACE in kinds
        self.corrupt = CORRUPT in kinds

    def active(self) -> tuple[tuple[int, int], ...]:
        """What is active now."""
        return tuple(sorted(self._active))

    def change(self, request: AlarmRequest) -> tuple[tuple[int, int], ...]:
        """Activate or deactivate; gives the alarms that the answer names.

        Shape: to deactivate, member 0 means every member, type NONE every type.
        """
        member_id, kind = request.memberID, int(request.alarm)
        changed: list[tuple[int, int]] = []
        if request.action == AlarmRequest.ACTIVATE and kind != NONE:
            self._active.add((member_id, kind))
            changed.append((member_id, kind))
        elif request.action == AlarmRequest.DEACTIVATE:
            changed = [
                alarm
                for alarm in sorted(self._active)
                if member_id in (0, alarm[0]) and kind in (NONE, alarm[1])
            ]
            self._active.difference_update(changed)
        self._judge()
        return tuple(changed)

    def pack(self) -> bytes:
        """Encode; layout in docs/formats/backend.md."""
        return b"".join(_ALARM.pack(*alarm) for alarm in self.active())
