"""What the photos of a catalogue are like: findings in plain words, and photos before and after preparation."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fmnist_ray.reports.gallery import Picture, embedded_picture
from fmnist_ray.reports.page import render

PHOTOS_VERSION = 1
"""Raised whenever a key of `photos.json` changes its meaning or goes away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoFinding:
    """One thing that was looked at."""

    what: str
    verdict: Literal["ok", "warning"]
    """`warning`: answers will be worse, or missing, and something can be done about it"""
    found: str
    """What was seen, and what it means"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPhoto:
    """A photo before and after preparation."""

    name: str
    before: bytes | None
    """PNG"""
    after: bytes
    """PNG"""
    label: str
    confidence: float
    novel: bool

    @property
    def pictures(self) -> tuple[Picture | None, Picture | None]:
        """Both, as pages embed them."""
        return embedded_picture(self.before), embedded_picture(self.after)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotosReport:
    """A finished diagnosis."""

    catalogue_uri: str
    bundle_uri: str
    bundle_digest: str
    style: str
    """Of the bundle's preparation"""
    num_rows: int
    num_sampled: int
    findings: Sequence[PhotoFinding]
    figures: dict[str, Any]
    """The numbers behind the findings"""
    shown: Sequence[ShownPhoto]
    program_version: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: all but the pictures."""
        names = [field.name for field in dataclasses.fields(self) if field.name not in ("findings", "shown")]
        findings = [dataclasses.asdict(finding) for finding in self.findings]
        return {"photos_version": PHOTOS_VERSION, **{name: getattr(self, name) for name in names}, "findings": findings}

    def files(self) -> dict[str, bytes]:
        """Every file of the report by its name; the page goes last."""
        encoded = json.dumps(self.to_dict(), indent=1).encode() + b"\n"
        return {"photos.json": encoded, "photos.html": render("photos.html.j2", report=self)}
