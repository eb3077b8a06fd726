"""Bytes on the share to values and back: names, sealed packages, cookies. Opens no file itself; see docs/FORMAT.md."""
