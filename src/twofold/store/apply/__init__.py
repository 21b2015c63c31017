"""The state machine: log entries in, outcomes out, the same on both members.

Start with `applier`. What an entry carries is in `commands`, what comes out in
`outcomes`; `dedupe` is why a command proposed twice happens once.
"""
