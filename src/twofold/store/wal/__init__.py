"""The write-ahead log: every entry and hard state, durable by one sync a batch.

``log.py`` is the log, ``writer.py`` its thread; ``records.py`` and ``frames.py``
are the bytes (docs/formats/wal.md), ``replay.py`` reads them back.
"""
