"""Text that others wrote, before people read it: keys of rows, reasons, what a database or a program said.

In it nothing may steer a terminal, turn the order in which it is read, begin a line of its own, or fill the screen.
"""

from __future__ import annotations

LINE_MAX = 200
"""Characters of a reason that an operator gives."""
SHOWN_MAX = 300
"""Characters of a key in a list."""


def printable(text: str, keep: str = "") -> str:
    """The text with an escape for every sign that is not printed, but for those to `keep`."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else _escape(each) for each in text)


def _escape(sign: str) -> str:
    return ascii(sign)[1:-1]


def is_line(text: str) -> bool:
    """Whether it is one line of 1 to `LINE_MAX` printable characters."""
    return 0 < len(text) <= LINE_MAX and text.isprintable() and bool(text.strip())


def shortened(text: str, most: int = SHOWN_MAX) -> str:
    """Its first `most` characters, and how long it is if that is not all."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"
