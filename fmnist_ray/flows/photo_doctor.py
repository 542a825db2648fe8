"""What the photos of a catalogue are like, said in plain words, and what that means for a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fmnist_ray import __version__
from fmnist_ray.bundle.classifier import load_bundle
from fmnist_ray.config.images import Preparation
from fmnist_ray.config.photos import PhotoDoctorSettings
from fmnist_ray.errors import CatalogueError
from fmnist_ray.flows.photo_sample import Opinions, Photo, PhotoSample, ask, read_sample
from fmnist_ray.images.encode import encode_png
from fmnist_ray.reports.photos_page import PhotoFinding, PhotosReport, ShownPhoto
from fmnist_ray.store import open_store

_SHOWN = 48
_EVEN = 0.8
"""Share of the frame in one colour from which on a ground counts as even."""
_BRIGHT = 128
_SMALL = 0.25
"""Products under this share of the photo's longer side come out blurred."""
_FEW = 0.02
_MANY = 0.2
"""Shares of photos up to which a weakness is no warning."""
_EXPECTED_NOVEL = 5
"""A warning is due when so many times more photos look strange than good ones would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoDiagnosis:
    """A report that was written."""

    report: PhotosReport
    report_uri: str


def examine_photos(settings: PhotoDoctorSettings) -> PhotoDiagnosis:
    """Look at a sample of the photos and write `photos.html` and `photos.json`.

    Raises `CatalogueError` where there is no catalogue or not one photo decodes, `BundleError` for no bundle.
    """
    classifier = load_bundle(settings.bundle, runtime="cpu")
    sample = read_sample(settings, classifier)
    if not sample.photos:
        why = f": {sample.rejects[0][0]}, {sample.rejects[0][1]}" if sample.rejects else ", since it has no rows"
        raise CatalogueError(
            f"None of the {sample.num_sampled} sampled images of {settings.catalogue_uri} decodes{why}."
        )
    opinions = ask(classifier, sample)
    alarm_rate = classifier.rule.alarm_rate if classifier.rule else 0.0
    report = PhotosReport(
        catalogue_uri=settings.catalogue_uri,
        bundle_uri=settings.bundle,
        bundle_digest=classifier.digest,
        style=classifier.spec.preparation.style,
        num_rows=sample.num_rows,
        num_sampled=sample.num_sampled,
        findings=[
            _decoding(sample),
            _sizes(sample.photos, classifier.spec.preparation),
            *_files(sample.photos),
            *_products(sample.photos, classifier.spec.preparation),
            *_strangeness(opinions, alarm_rate),
        ],
        figures=_figures(sample, opinions),
        shown=_shown(sample.photos, opinions),
        program_version=__version__,
    )
    out = open_store(settings.out_uri)
    for name, data in report.files().items():
        out.put(name, data)
    return PhotoDiagnosis(report=report, report_uri=f"{out.uri}/photos.html")


def _finding(what: str, found: str, *, bad: bool = False) -> PhotoFinding:
    verdict: Literal["ok", "warning"] = "warning" if bad else "ok"
    return PhotoFinding(what=what, verdict=verdict, found=found)


def _decoding(sample: PhotoSample) -> PhotoFinding:
    found = f"{len(sample.photos):,} of {sample.num_sampled:,} images decode."
    if sample.rejects:
        counts = Counter(reason for reason, _ in sample.rejects).most_common()
        reason, detail = sample.rejects[0]
        found += f" A run rejects the others: {', '.join(f'{name} {count}' for name, count in counts)}"
        found += f" (the first is {reason}: {detail})."
    return _finding("decodable", found, bad=len(sample.rejects) > _FEW * sample.num_sampled)


def _sizes(photos: Sequence[Photo], preparation: Preparation) -> PhotoFinding:
    sides = np.array([(photo.file.width, photo.file.height) for photo in photos])
    middle = sides[np.argsort(sides.prod(axis=1))[len(sides) // 2]]
    small = int((sides.max(axis=1) < preparation.size).sum())
    formats = Counter(photo.file.format for photo in photos).most_common()
    found = (
        f"{', '.join(f'{name} {count}' for name, count in formats)}; half of them have up to {middle[0]} x {middle[1]} "
        f"pixels, the largest side is {sides.max()}. The network sees {preparation.size} x {preparation.size}."
    )
    if small:
        found += f" {small} are smaller than that, and are enlarged: ask for larger ones."
    return _finding("size", found, bad=small > _FEW * len(photos))


def _files(photos: Sequence[Photo]) -> Iterator[PhotoFinding]:
    turned = sum(photo.file.orientation != 1 for photo in photos)
    found = (
        f"{turned} were taken with the camera turned or mirrored, and are put upright." if turned else "All upright."
    )
    yield _finding("orientation", found)
    clear = sum(photo.file.transparent for photo in photos)
    found = f"{clear} can have transparent pixels: white shines through."
    yield _finding("transparency", found if clear else "None.")


def _products(photos: Sequence[Photo], preparation: Preparation) -> Iterator[PhotoFinding]:
    """Polarity, background and size of the products, as far as preparation looks for them."""
    if preparation.style == "plain":
        yield _finding("preparation", "This bundle was trained on photos as they are, and gets them as they are.")
        return
    if untouched := [photo for photo in photos if photo.untouched]:
        wrong = sum(photo.ground >= _BRIGHT for photo in untouched)
        found = f"{len(untouched)} have exactly the network's size and are not changed at all."
        if wrong:
            found += f" {wrong} of them are dark on bright, and the network knows bright on dark: store them negated."
        yield _finding("polarity as stored", found, bad=wrong > _FEW * len(photos))
    if changed := [photo for photo in photos if not photo.untouched]:
        yield from _changes(changed)


def _changes(photos: Sequence[Photo]) -> Iterator[PhotoFinding]:
    dark = sum(photo.bright_on_dark for photo in photos)
    found = f"{len(photos) - dark} are negated, since the network knows bright on black; {dark} are so already."
    yield _finding("polarity", found)
    even = sum(photo.evenness >= _EVEN for photo in photos)
    bright = sum(photo.ground >= _BRIGHT for photo in photos)
    found = (
        f"{even} of {len(photos)} have an even background; {bright} of {len(photos)} a bright one. From an uneven one "
        "the product is hard to part: photograph on a plain ground, or train on photos of your own."
    )
    yield _finding("background", found, bad=len(photos) - even > _MANY * len(photos))
    extents = np.array([photo.extent for photo in photos])
    small = int((extents < _SMALL).sum())
    found = f"Half of the products take up {np.median(extents):.0%} or more of the photo's longer side."
    if small:
        found += f" In {small} it is less than {_SMALL:.0%}, or nothing stands out: they will look blurred or empty."
    yield _finding("product", found, bad=small > _MANY * len(photos))


def _strangeness(opinions: Opinions, alarm_rate: float) -> Iterator[PhotoFinding]:
    if opinions.novel is None:
        yield _finding("likeness", "The bundle has no held-out rows, so it can't tell what is unlike its training.")
        return
    share = float(opinions.novel.mean())
    bad = share > max(_EXPECTED_NOVEL * alarm_rate, _FEW)
    found = f"{share:.0%} look unlike what the bundle was trained on; of good photos {alarm_rate:.0%} would. "
    found += (
        "Promised precisions do not hold for such photos: calibrate on labelled photos of your own (fmnist-ray "
        "calibrate), or train on them."
        if bad
        else "Nothing speaks against promises that were proven on held-out images."
    )
    yield _finding("likeness", found, bad=bad)


def _figures(sample: PhotoSample, opinions: Opinions) -> dict[str, Any]:
    photos = sample.photos
    return {
        "num_decodable": len(photos),
        "rejects_by_reason": dict(Counter(reason for reason, _ in sample.rejects)),
        "formats": dict(Counter(photo.file.format for photo in photos)),
        "num_turned": sum(photo.file.orientation != 1 for photo in photos),
        "num_transparent": sum(photo.file.transparent for photo in photos),
        "num_untouched": sum(photo.untouched for photo in photos),
        "num_bright_on_dark": sum(photo.bright_on_dark for photo in photos),
        "num_even_ground": sum(photo.evenness >= _EVEN for photo in photos),
        "median_ground": float(np.median([photo.ground for photo in photos])),
        "median_extent": round(float(np.median([photo.extent for photo in photos])), 4),
        "num_novel": None if opinions.novel is None else int(opinions.novel.sum()),
        "answers": dict(Counter(opinions.labels).most_common()),
    }


def _shown(photos: Sequence[Photo], opinions: Opinions) -> list[ShownPhoto]:
    """Photos from all over the sample."""
    chosen = np.unique(np.linspace(0, len(photos) - 1, _SHOWN).round().astype(int))
    return [
        ShownPhoto(
            name=photos[number].name,
            before=photos[number].before,
            after=encode_png(photos[number].after.transpose(1, 2, 0).squeeze()),
            label=opinions.labels[number],
            confidence=float(opinions.confidences[number]),
            novel=opinions.novel is not None and bool(opinions.novel[number]),
        )
        for number in chosen
    ]
