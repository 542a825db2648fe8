"""Numbers and foreign text as pages write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmnist_ray.reports import formats


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (0.0, 1, "0 %"),
        (1.0, 2, "100 %"),
        (0.9152, 2, "91.52 %"),
        (0.9152, 0, "92 %"),
        (0.00001, 2, "< 0.01 %"),
        (0.99999, 2, "> 99.99 %"),
        (0.5, 1, "50.0 %"),
        (0.005, 0, "< 1 %"),
        (0.995, 0, "> 99 %"),
        (None, 1, "–"),
    ],
)
def test_percent(share: float | None, digits: int, text: str) -> None:
    assert formats.percent(share, digits).replace(formats.THIN, " ") == text


@given(st.floats(0, 1), st.integers(0, 3))
def test_only_nothing_and_everything_are_written_so(share: float, digits: int) -> None:
    text = formats.percent(share, digits).replace(formats.THIN, " ")
    assert (text.split()[0].rstrip("0").rstrip(".") in ("0", "")) == (share == 0)
    assert text.startswith("100") == (share == 1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.34, "340 ms"),
        (12.34, "12.3 s"),
        (252, "4 min 12 s"),
        (11_100, "3 h 5 min"),
        (400_000, "111 h 6 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert formats.duration(seconds).replace(formats.THIN, " ") == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0, "0"), (0.0432, "0.043"), (1.24, "1.2"), (35.2, "35"), (1234, "1,234")]
)
def test_milliseconds(value: float | None, text: str) -> None:
    assert formats.milliseconds(value) == text


@pytest.mark.parametrize(
    ("num_bytes", "text"), [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (4_230_000, "4.2 MB"), (10**16, "10.0 PB")]
)
def test_size(num_bytes: int, text: str) -> None:
    assert formats.size(num_bytes).replace(formats.THIN, " ") == text


def test_moment() -> None:
    assert formats.moment("2026-11-21T03:14:07+00:00") == "2026-11-21 03:14 UTC"
    assert formats.moment("2026-11-21T03:14:07.123456Z") == "2026-11-21 03:14 UTC"
    assert formats.moment("last night") == "last night"


def test_characters_that_hide_or_turn_text_become_visible() -> None:
    assert formats.visible("a\0b\u202ec\u2066\n\ud800") == "a\\x00b\\u202ec\\u2066\\n\\ud800"
    assert formats.visible("café عربي 👩\u200d🔧") == "café عربي 👩\u200d🔧"
    assert formats.visible(12) == 12


def test_brief_keeps_the_start_and_the_end() -> None:
    short = formats.brief("a" * 5_000 + "b" * 5_000, 30)
    assert short == "a" * 20 + "…" + "b" * 10
    assert formats.brief("as it is", 30) == "as it is"
