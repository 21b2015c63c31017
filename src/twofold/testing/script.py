"""Interaction scripts: commands, then the full trace that they must produce."""

from __future__ import annotations

from twofold.raft.types import Role, StopRequested, TransferRequested
from twofold.testing.pair_world import Disk, Member, World


def run_script(text: str) -> str:
    """Run a script; return it with the traces that it really produced.

    Shape: blocks of commands, a line ``----``, the trace; an empty line ends a
    block. Lines with ``#`` are kept. ``+N`` = ms since the block began.
    """
    world: World | None = None
    result: list[str] = []
    lines = text.splitlines()
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if line == "----":
            while position < len(lines) and lines[position]:
                position += 1
            result.append(line)
            if world is not None:
                result.extend(world.lines)
                world.lines.clear()
            continue
        result.append(line)
        if not line or line.startswith("#"):
            continue
        if line.startswith("start"):
            world = _start(line)
        elif world is None:
            raise ValueError(f"start first, then: {line}")
        else:
            if result[-2:-1] in ([""], []):
                world.started_ms = world.now_ms
            _command(world, line)
    return "\n".join(result) + "\n"


def _start(line: str) -> World:
    words = dict(word.split("=") for word in line.split()[1:])
    world = World(witness=words.get("witness") != "no")
    for number in words.get("members", "1,2").split(","):
        world.boot(int(number))
    wanted = words.get("leader")
    if wanted is None:
        return world
    world.advance(1_000)
    leader = world.leader()
    if leader is not None and leader != int(wanted):
        member = world.members[leader]
        world.step(member, TransferRequested(world.now_ms))
        world.advance(100)
    world.lines.clear()
    world.started_ms = world.now_ms
    _status(world)
    return world


def _status(world: World) -> None:
    for number, member in world.members.items():
        if member.core is None:
            world.say(f"{number}: down")
            continue
        s = member.core.status()
        line = f"{number}: {s.role.value} {s.mode.value} term {s.term}.{s.subterm}"
        line += f" last {s.last_index} commit {s.commit_index}"
        if s.role is Role.LEADER:
            line += " peer promotable" if s.peer_promotable else ""
        if s.reason:
            line += f"; {s.reason}"
        world.say(line)


def _command(world: World, line: str) -> None:
    name, *words = line.split()
    numbers = [int(w) for w in words if w in ("1", "2")]
    number = numbers[0] if numbers else 0
    member = world.members.get(number)
    match name:
        case "advance":
            world.advance(int(words[0].removesuffix("ms")))
        case "cut":
            world.cut()
        case "heal":
            world.heal()
        case "crash" | "poweroff":
            world.crash(number, seen=name == "crash")
        case "boot":
            world.boot(number)
        case "propose":
            world.propose(number, words[1].encode())
        case "read":
            world.read(number)
        case "wipe":
            world.members[number].disk = Disk()
            world.members[number].applied.clear()
        case "compact":
            world.compact(number)
        case "streaming":
            world.stream_ms = int(words[0].removesuffix("ms"))
        case "status":
            _status(world)
        case "writes":
            world.say(f"W: {world.witness.writes} writes so far")
        case _ if member is not None:
            _member_command(world, member, name, words[1:])
        case _:
            raise ValueError(f"unknown command: {line}")


def _member_command(world: World, member: Member, name: str, words: list[str]) -> None:
    match name:
        case "stop":
            world.step(member, StopRequested(world.now_ms))
        case "transfer":
            world.step(member, TransferRequested(world.now_ms))
        case "disk":
            member.disk_ms = int(words[0].removesuffix("ms"))
        case "pause" | "resume":
            member.paused = name == "pause"
        case "witness":
            member.witness_up = words[0] != "down"
            late = words[0] == "late"
            member.witness_late_ms = int(words[1].removesuffix("ms")) if late else 0
        case _:
            raise ValueError(f"unknown command: {name}")
