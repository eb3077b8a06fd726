"""Units as people write them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolpair.units import read_duration, read_fraction, read_size, show_duration, show_fraction, show_size

DURATIONS = {"250ms": 0.25, "5s": 5.0, "2m": 120.0, "3h": 10800.0, "1.5 h": 5400.0, "2M": 120.0}
SIZES = {
    "100MiB": 104_857_600,
    "1GB": 1_000_000_000,
    "512k": 512_000,
    "512KiB": 524_288,
    "512kib": 524_288,
    "1.5KiB": 1536,
    "7": 7,
    "7B": 7,
    7: 7,
}
FRACTIONS = {"20%": 0.2, "0%": 0.0, "12.5 %": 0.125, 0.2: 0.2, 1: 1.0}


@pytest.mark.parametrize(("text", "seconds"), DURATIONS.items())
def test_durations(text: str, seconds: float) -> None:
    """A duration is a number and ms, s, m or h."""
    assert read_duration(text) == seconds


@pytest.mark.parametrize(("text", "size"), SIZES.items())
def test_sizes(text: object, size: int) -> None:
    """A size is a number of bytes; units with an i are powers of 1024, the others of 1000."""
    assert read_size(text) == size


@pytest.mark.parametrize(("text", "fraction"), FRACTIONS.items())
def test_fractions(text: object, fraction: float) -> None:
    """A fraction is a percentage or a number up to 1."""
    assert read_fraction(text) == fraction


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "5 minutes", "1h30m", "5s ago", "٥s", "9" * 400 + "s"])
def test_a_duration_needs_a_number_and_a_unit(text: str) -> None:
    """Whatever is no duration is refused with an example of one."""
    with pytest.raises(ValueError, match=r'^expected a duration such as "5s", "2m", "3h" or "250ms", not ') as caught:
        read_duration(text)
    assert str(caught.value).endswith(repr(text))


@pytest.mark.parametrize(
    ("value", "named"), [(5, "an integer"), (5.0, "a float"), (True, "a boolean"), ([], "an array")]
)
def test_a_duration_is_a_text(value: object, named: str) -> None:
    """A number alone says no unit and is refused."""
    with pytest.raises(ValueError, match=f"not {named}$"):
        read_duration(value)


@pytest.mark.parametrize("value", ["", "MiB", "-1MB", "1 XB", "ten", True, 1.5, {}])
def test_a_size_needs_a_number(value: object) -> None:
    """Whatever is no size is refused with an example of one."""
    with pytest.raises(ValueError, match=r'^expected a size such as "100MiB", "1GB" or "512k", not '):
        read_size(value)


def test_a_size_is_whole() -> None:
    """A part of a byte is refused, not rounded."""
    with pytest.raises(ValueError, match=r"^'1\.0005k' is no whole number of bytes$"):
        read_size("1.0005k")


@pytest.mark.parametrize("value", ["101%", 1.01, -0.1, float("nan")])
def test_a_fraction_is_part_of_a_whole(value: object) -> None:
    """More than everything, and less than nothing, is refused."""
    with pytest.raises(ValueError, match=r"^must lie between 0% and 100%, not "):
        read_fraction(value)


@pytest.mark.parametrize("value", ["20", "0.2", "%", True, None])
def test_a_fraction_as_text_needs_its_sign(value: object) -> None:
    """A text without % could mean a percentage or a fraction, so it is neither."""
    with pytest.raises(ValueError, match=r'^expected a fraction such as "20%" or 0\.2, not '):
        read_fraction(value)


@given(st.integers(0, 2**63))
def test_printed_sizes_read_back(size: int) -> None:
    """What is printed is the same size again."""
    assert read_size(show_size(size)) == size


@given(st.integers(0, 10**9))
def test_printed_durations_read_back(milliseconds: int) -> None:
    """What is printed is the same duration again."""
    seconds = milliseconds / 1000
    assert read_duration(show_duration(seconds)) == seconds


@given(st.integers(0, 10_000))
def test_printed_fractions_read_back(hundredths: int) -> None:
    """What is printed is the same fraction again."""
    fraction = hundredths / 10_000
    assert read_fraction(show_fraction(fraction)) == fraction


@given(st.text() | st.integers() | st.floats() | st.booleans() | st.none() | st.lists(st.integers()))
def test_readers_refuse_with_value_error_only(value: object) -> None:
    """Nothing that TOML can hold makes a reader fail in another way than by `ValueError`."""
    for read in (read_duration, read_size, read_fraction):
        with suppress(ValueError):
            assert read(value) >= 0 or isinstance(value, int)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (show_duration(120.0), "2m"),
        (show_duration(90.0), "90s"),
        (show_duration(0.25), "250ms"),
        (show_duration(0.0), "0s"),
        (show_size(104_857_600), "100MiB"),
        (show_size(10**9), "1GB"),
        (show_size(1025), "1025"),
        (show_fraction(0.2), "20%"),
        (show_fraction(1.0), "100%"),
    ],
)
def test_printed_form_is_short(shown: str, text: str) -> None:
    """The largest unit that leaves a whole number is printed."""
    assert shown == text
