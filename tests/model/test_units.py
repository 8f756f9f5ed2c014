# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpushare.model.errors import BadQuantityError
from gpushare.model.units import GIB, MIB, format_bytes, parse_bytes, parse_duration, parse_percent


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8GiB", 8 * GIB),
        ("8G", 8 * GIB),
        ("8g", 8 * GIB),
        (" 512 MiB ", 512 * MIB),
        ("1.5GiB", 3 * GIB // 2),
        ("500MB", 500_000_000),
        ("1", 1),
        ("2t", 2 * 1024 * GIB),
        ("8Gi", 8 * GIB),
        ("8192Mi", 8 * GIB),
        ("512Ki", MIB // 2),
        ("1Ti", 1024 * GIB),
        ("1.5gi", 3 * GIB // 2),
    ],
)
def test_sizes_are_read_as_their_users_write_them(text, expected):
    assert parse_bytes(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GiB",
        "8Gi B",
        "-8GiB",
        "8XiB",
        "0",
        "0.0GiB",
        "1e9",
        "8,5GiB",
        "99999999999999GiB",
        "8i",
        "8Gib B",
        "9" * 5000,
        "0." + "1" * 5000 + "GiB",
        "٣GiB ",
    ],
)
def test_a_malformed_size_is_refused(text):
    with pytest.raises(BadQuantityError) as caught:
        parse_bytes(text)

    assert caught.value.hint
    assert caught.value.exit_code == 2


@given(st.integers(1, 10**6), st.sampled_from(["KiB", "MiB", "GiB"]))
def test_whole_sizes_are_exact(value, unit):
    scale = {"KiB": 1024, "MiB": MIB, "GiB": GIB}[unit]

    assert parse_bytes(f"{value}{unit}") == value * scale


def test_a_tenth_and_two_tenths_are_three_tenths():
    tenth, fifth, rest = (parse_bytes(f"{x}GiB") for x in ("0.125", "0.25", "0.375"))

    assert tenth + fifth == rest


@given(st.integers(1, 100), st.sampled_from(["", "%", " %"]))
def test_percents_are_whole_numbers(value, tail):
    assert parse_percent(f"{value}{tail}") == value


@pytest.mark.parametrize("text", ["0", "101", "12.5", "-1", "", "%", "forty", "²"])
def test_a_malformed_percent_is_refused(text):
    with pytest.raises(BadQuantityError):
        parse_percent(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("30m", 1800), ("8h", 28800), ("2D", 172800)]
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "1w", "-5m", "1h30m", "\u0663h", "9" * 13, "9" * 5000]
)
def test_a_malformed_duration_is_refused(text):
    with pytest.raises(BadQuantityError):
        parse_duration(text)


@given(st.integers(0, 2**62))
def test_any_size_can_be_shown(value):
    assert format_bytes(value).split()[1] in {"B", "KiB", "MiB", "GiB"}


def test_sizes_are_shown_short():
    assert [format_bytes(n) for n in (0, 512 * MIB, 8 * GIB, 3 * GIB // 2)] == [
        "0 B",
        "512 MiB",
        "8 GiB",
        "1.5 GiB",
    ]
