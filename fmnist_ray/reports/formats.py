"""How pages write numbers and text that came from outside. One style for every page."""

from __future__ import annotations

import math
import unicodedata
from datetime import datetime
from typing import Any

from markupsafe import Markup

THIN = "\u202f"
"""A narrow space that does not break, between a number and its unit."""
NOTHING = "–"
"""What stands where there is no number."""

_JOINERS = "\u200c\u200d"
_ABBREVIATED = 72
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def count(value: int | None) -> str:
    """A whole number with separators: 10,000."""
    return NOTHING if value is None else f"{value:,}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share in 0..1 as per cent. Only exactly nothing is written 0 %, and only everything 100 %."""
    if share is None:
        return NOTHING
    if share in (0, 1):
        return f"{share:.0%}".replace("%", f"{THIN}%")
    step, written = 10.0**-digits, f"{100 * share:.{digits}f}"
    if float(written) == 0:
        return f"<{THIN}{step:.{digits}f}{THIN}%"
    return f">{THIN}{100 - step:.{digits}f}{THIN}%" if float(written) == 100 else f"{written}{THIN}%"


def share(value: float) -> str:
    """A share on an axis: 5 %, 0.5 %."""
    return f"{100 * value:g}{THIN}%"


def plain(value: float) -> str:
    """A number on an axis as short as it can be: 20, 0.5, 1.25."""
    return f"{value:,g}"


def compact(value: float) -> str:
    """A count on an axis: 500, 20,000, 2 M."""
    return f"{value / 1e6:g}{THIN}M" if value >= 1e6 else f"{value:,g}"


def points(difference: float) -> str:
    """A difference of two shares in percentage points, with its sign."""
    return f"{100 * difference:+.2f}".replace("-", "\u2212")


def chance(value: float) -> str:
    """A probability of a test: three digits, and nothing below 0.001."""
    return f"<{THIN}0.001" if value < 0.001 else f"{value:.3f}"


def evidence(value: float) -> str:
    """An e-value: two digits, and nothing above 10,000."""
    return ">\u202f10,000" if value > 10_000 else f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def tenths(value: float | None) -> str:
    """A number with one digit."""
    return NOTHING if value is None else f"{value:,.1f}"


def score(value: float | None) -> str:
    """A score or confidence in 0..1 with three digits."""
    return NOTHING if value is None else f"{value:.3f}"


def edge(value: float) -> str:
    """The edge of a bin: 0.98."""
    return f"{value:.2f}".replace("-", "\u2212")


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them: 340 ms, 12.3 s, 4 min 12 s, 3 h 5 min."""
    if seconds < 0.9995:
        return f"{milliseconds(1000 * seconds)}{THIN}ms"
    if seconds < 90:
        return f"{seconds:.1f}{THIN}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 90:
        return f"{minutes}{THIN}min {rest}{THIN}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}{THIN}h {minutes}{THIN}min"


def milliseconds(value: float | None) -> str:
    """Milliseconds with two significant digits at least: 0.043, 1.2, 35."""
    if value is None:
        return NOTHING
    digits = 0 if value >= 10 else 1 if value >= 1 else min(6, 1 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{value:,.{digits}f}"


def size(num_bytes: int) -> str:
    """Bytes in decimal units: 4.2 MB."""
    exponent = min(len(_UNITS) - 1, int(math.log10(num_bytes) // 3)) if num_bytes > 0 else 0
    digits = 1 if exponent else 0
    return f"{num_bytes / 1000**exponent:.{digits}f}{THIN}{_UNITS[exponent]}"


def moment(text: str) -> str:
    """A time in ISO 8601 to the minute: 2026-11-21 03:14 UTC."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return brief(text)
    zone = "" if when.tzinfo is None else f" {when.tzname()}"
    return f"{when:%Y-%m-%d %H:%M}{zone}"


def brief(text: Any, length: int = _ABBREVIATED) -> str:
    """At most about `length` characters of a text: its start and its end."""
    whole: str = visible(str(text))
    if len(whole) <= length:
        return whole
    return f"{whole[: 2 * length // 3]}…{whole[-length // 3 :]}"


def visible(value: Any) -> Any:
    """Characters that can't be seen, or that turn the text around them, written as escapes. Markup is left alone.

    Runs on everything a template prints, before HTML escaping: NUL, other controls, direction overrides (Boucher and
    Anderson, arXiv 2111.00169), lone surrogates. Joiners stay: Arabic script and emoji need them.
    """
    if isinstance(value, str) and not isinstance(value, Markup) and not value.isprintable():
        return "".join(_escaped(character) for character in value)
    return value


def _escaped(character: str) -> str:
    if character in _JOINERS or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    return character.encode("unicode_escape").decode()
