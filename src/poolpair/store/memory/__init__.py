"""The store port over plain values in memory, for the simulator and for tests of the line.

`MemoryDisk` is what survives a crash: one committed `State`, replaced whole at each commit. `MemoryStore` is one process's handle
on it. Single-threaded on purpose. It keeps the same promises as the SQLite store: tests/contract holds both to them.
"""
