"""Changes inputs at random, from a seed: bits, runs, numbers, words of the parser's language, pieces of other inputs, deep nesting."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

LONGEST = 1 << 16
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)


def mutated(random: Random, inputs: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """One of the inputs, changed from one to eight times."""
    data = bytearray(random.choice(inputs))
    for _ in range(1 << random.randrange(4)):
        _CHANGES[random.randrange(len(_CHANGES))](random, data, inputs, words)
    return bytes(data[:LONGEST])


def _place(random: Random, data: bytearray) -> int:
    return random.randrange(len(data) + 1)


def _flip(random: Random, data: bytearray, inputs: Sequence[bytes], words: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _set(random: Random, data: bytearray, inputs: Sequence[bytes], words: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] = random.randrange(256)


def _cut(random: Random, data: bytearray, inputs: Sequence[bytes], words: Sequence[bytes]) -> None:
    at = _place(random, data)
    del data[at : at + random.choice((1, 2, 8, 64, len(data)))]


def _double(random: Random, data: bytearray, inputs: Sequence[bytes], words: Sequence[bytes]) -> None:
    at = _place(random, data)
    data[at:at] = data[at : at + random.choice((1, 4, 32, 256))] * random.choice((1, 1, 2, 100))


def _word(random: Random, data: bytearray, inputs: Sequence[bytes], words: Sequence[bytes]) -> None:
    at, word = _place(random, data), random.choice(words)
    data[at : at + random.choice((0, 0, len(word)))] = word


def _many(random: Random, data: bytearray, inputs: Sequence[bytes], words: Sequence[bytes]) -> None:
    if random.randrange(8) == 0:
        at = _place(random, data)
        data[at:at] = random.choice(words) * random.choice((10, 200, 5000))


def _number(random: Random, data: bytearray, inputs: Sequence[bytes], words: Sequence[bytes]) -> None:
    at, number = _place(random, data), random.choice(INTERESTING)
    width = random.choice((1, 2, 4, 8))
    text = str(number).encode() if random.randrange(2) else (number % (1 << 8 * width)).to_bytes(width, "little")
    data[at : at + len(text)] = text


def _splice(random: Random, data: bytearray, inputs: Sequence[bytes], words: Sequence[bytes]) -> None:
    other = random.choice(inputs)
    at, begin = _place(random, data), random.randrange(len(other) + 1)
    data[at : at + random.choice((0, 16, len(data)))] = other[begin : begin + random.choice((8, 64, len(other)))]


_CHANGES = (_flip, _set, _cut, _double, _word, _word, _many, _number, _splice)
