"""What a nightly run is asked to do."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.errors import SettingError

DATE_PLACE = "{date}"
"""Stands for the night's date in the name of a catalogue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NightlySettings:
    """The night of one date: its catalogue, classified into its folder below the root."""

    root_uri: str
    """Holds a folder per night, and the pointer to the newest."""
    date: datetime.date
    run: ClassifySettings
    """How the night is classified; {date} in its catalogue stands for the date. Its places are not used."""
    reference_uri: str | None = None
    """A run that is known to be good, which nights are judged against. None: the first published night."""
    gate: bool = False
    """Refuse to publish a night that raises the alarm."""
    full: bool = False
    """Classify every image, also those that the night before has classified."""


def parse_date(text: str | None, *, today: datetime.date) -> datetime.date:
    """`today` where nothing is said, `yesterday`, or a date as 2026-11-20."""
    if text in (None, "today"):
        return today
    if text == "yesterday":
        return today - datetime.timedelta(days=1)
    try:
        return datetime.date.fromisoformat(text or "")
    except ValueError as error:
        raise SettingError(f"--date is {text}; allowed are today, yesterday, or a date such as {today}.") from error
