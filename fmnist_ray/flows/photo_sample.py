"""A sample of a catalogue's photos: what their files say, where their products are, and what a bundle makes of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.bundle.classifier import Classifier
from fmnist_ray.catalogue.columns import Columns
from fmnist_ray.catalogue.fetch import ImageFetcher
from fmnist_ray.catalogue.reader import RowBatch, inspect_inputs, list_inputs, read_rows
from fmnist_ray.catalogue.sampling import sample_places
from fmnist_ray.config.photos import PhotoDoctorSettings
from fmnist_ray.images.decode import decode_image
from fmnist_ray.images.file_facts import FileFacts, read_file_facts
from fmnist_ray.images.prepare import prepare_batch
from fmnist_ray.images.product import find_product
from fmnist_ray.images.quality import photo_measures
from fmnist_ray.images.thumbnail import thumbnail


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """One photo that decodes."""

    name: str
    """Product id, or file and row"""
    file: FileFacts
    untouched: bool
    """Has exactly the size of the model's input, which preparation leaves alone"""
    ground: int
    """Grey level of what lies behind the product, 0..255"""
    evenness: float
    """Share of the frame that has the ground's colour, 0..1"""
    bright_on_dark: bool
    extent: float
    """Longer side of the product, by that of the photo; 0 where nothing stands out"""
    before: bytes | None
    """PNG"""
    after: NDArray[np.uint8]
    """Model input [channels, size, size]"""


@dataclass(slots=True, kw_only=True)
class PhotoSample:
    """What was seen of a catalogue."""

    num_rows: int
    """Of the whole catalogue."""
    photos: list[Photo] = field(default_factory=list)
    rejects: list[tuple[str, str]] = field(default_factory=list)
    """Reason and detail of each sampled row without a usable image."""

    @property
    def num_sampled(self) -> int:
        """Rows that were looked at."""
        return len(self.photos) + len(self.rejects)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinions:
    """What a bundle makes of the photos of a sample."""

    labels: list[str]
    confidences: NDArray[np.float32]
    novel: NDArray[np.bool_] | None
    """Whether each looks unlike the training data; None for a bundle without held-out rows"""


def read_sample(settings: PhotoDoctorSettings, classifier: Classifier) -> PhotoSample:
    """Read and prepare the sample, a few rows at a time. `CatalogueError` where there is no catalogue."""
    store, infos = list_inputs(settings.catalogue_uri)
    inputs, columns = inspect_inputs(store, infos, settings.columns, fetches=True)
    fetcher = ImageFetcher(store.uri, settings.image_prefixes, max_bytes=classifier.limits.max_bytes)
    wanted = Columns(id=columns.id, image=columns.image, label=None, keep=())
    sample = PhotoSample(num_rows=sum(file.num_rows for file in inputs))
    for shard in sample_places(inputs, settings.sample_rows):
        file = inputs[shard.file]
        for batch in fetcher.fetched(read_rows(store, file, shard, wanted)):
            _add(sample, batch, file.key, classifier)
    return sample


def ask(classifier: Classifier, sample: PhotoSample) -> Opinions:
    """The bundle's answers to the photos, in their order."""
    pixels = np.stack([photo.after for photo in sample.photos])
    answers = classifier.assess(pixels)
    novel = None
    if classifier.rule is not None:
        novel = classifier.rule.judge(answers, classifier.features(pixels), photo_measures(pixels)).novel
    labels = [classifier.labels[label_id] for label_id in answers.label_ids.tolist()]
    return Opinions(labels=labels, confidences=answers.confidences, novel=novel)


def _add(sample: PhotoSample, batch: RowBatch, file_key: str, classifier: Classifier) -> None:
    prepared = prepare_batch(batch.images, classifier.spec.preparation, classifier.limits)
    sample.rejects += [(str(reject.reason), reject.detail) for reject in prepared.rejects]
    for position, pixels in zip(prepared.positions.tolist(), prepared.pixels, strict=True):
        name = batch.ids[position].as_py() or f"{file_key}, row {batch.first_row + position}"
        sample.photos.append(_photo(name, batch.images[position], pixels, classifier))


def _photo(name: str, data: bytes, prepared: NDArray[np.uint8], classifier: Classifier) -> Photo:
    size = classifier.spec.preparation.size
    decoded = decode_image(data, classifier.limits, min_side=size)
    product = find_product(decoded, size)
    left, top, right, bottom = product.box
    return Photo(
        name=name,
        file=read_file_facts(data),
        untouched=decoded.shape[:2] == (size, size),
        ground=product.ground,
        evenness=product.evenness,
        bright_on_dark=product.bright_on_dark,
        extent=max(right - left, bottom - top) / max(product.mask.shape) if product.mask.any() else 0.0,
        before=thumbnail(data, classifier.limits),
        after=prepared.copy(),
    )
