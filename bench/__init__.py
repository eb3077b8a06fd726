"""Benchmarks: a pair beside the peers that people would else use, on real servers of this machine. See docs/BENCH.md."""
