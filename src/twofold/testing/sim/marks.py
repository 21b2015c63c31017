"""What happened in a run; campaigns check that everything does, somewhere."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True)
class Marks:
    """Counts over one run, or by ``add`` over many; ``recovery_ms`` is a maximum."""

    crashes: int = 0
    stops: int = 0
    transfers: int = 0
    disk_failures: int = 0
    checkpoint_failures: int = 0
    torn_writes: int = 0
    pauses: int = 0
    cuts: int = 0
    holes: int = 0
    witness_cuts: int = 0
    duplicates: int = 0
    solos: int = 0
    pairs_again: int = 0
    refusals: int = 0
    snapshots: int = 0
    takeovers: int = 0
    claims_won: int = 0
    late_landings: int = 0
    leases_expired: int = 0
    cas_failed: int = 0
    events_watched: int = 0
    watches_compacted: int = 0
    answered: int = 0
    unknown: int = 0
    recovery_ms: int = 0

    def add(self, other: Marks) -> None:
        """Take another run's marks in."""
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            both = max(mine, theirs) if field.name == "recovery_ms" else mine + theirs
            setattr(self, field.name, both)

    def lines(self) -> list[str]:
        """One line a mark."""
        return [f"{f.name:20} {getattr(self, f.name)}" for f in fields(self)]
