"""Column names, Arrow schemas, and the closed lists of statuses and reject reasons of a run's tables."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import pyarrow as pa

PRODUCT_ID = "product_id"
IMAGE = "image"
LABEL = "label"


class Status(StrEnum):
    """How a prediction came about."""

    CLASSIFIED = "classified"
    CARRIED = "carried"
    """the image is that of a row of an earlier run, whose answer this is"""


class Reason(StrEnum):
    """Why a row has no prediction. Closed list: a report can count on it."""

    EMPTY = "empty"
    """null, or no bytes"""
    WRONG_TYPE = "wrong_type"
    """the cell does not hold an image's bytes"""
    NOT_FOUND = "not_found"
    """the image that the cell names does not exist"""
    NOT_ALLOWED = "not_allowed"
    """the image lies outside the allowed prefixes"""
    TOO_LARGE = "too_large"
    """more bytes, pixels, or pixels on a side than allowed"""
    UNSUPPORTED_FORMAT = "unsupported_format"
    """not PNG, JPEG or WebP"""
    TRUNCATED = "truncated"
    """the data ends before the image does"""
    UNDECODABLE = "undecodable"
    """of a known format, but broken"""
    UNUSABLE = "unusable"
    """decodes, but has nothing to classify: a side under 2 pixels"""
    WORKER_DIED = "worker_died"
    """the process that tried ended without an answer"""


RETRYABLE = (Reason.NOT_FOUND, Reason.WORKER_DIED)
"""Rejects that may end otherwise another time."""

_IDENTITY = [
    pa.field(PRODUCT_ID, pa.string()),
    pa.field("input_file", pa.string(), nullable=False),
    pa.field("input_row", pa.int64(), nullable=False),
]

IDENTITY_COLUMNS = [field.name for field in _IDENTITY]
IMAGE_DIGEST = "image_digest"

PREDICTIONS = pa.schema(
    [
        *_IDENTITY,
        pa.field(IMAGE_DIGEST, pa.binary(16), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("label_id", pa.int16(), nullable=False),
        pa.field("confidence", pa.float32(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("bundle_digest", pa.string(), nullable=False),
        pa.field("cnn_label", pa.string(), nullable=False),
        pa.field("cnn_confidence", pa.float32(), nullable=False),
        pa.field("svm_label", pa.string()),
        pa.field("svm_confidence", pa.float32()),
        pa.field("agree", pa.bool_()),
    ]
)
"""One row per classified input row. `confidence` is the calibrated probability of `label`, in 0..1, and `image_digest`
the BLAKE2b hash of the encoded image, 16 bytes. What the network's own head and the SVM say is in the last five
columns; without an SVM the last three are null."""

HEAD_COLUMNS = ("cnn_label", "cnn_confidence", "svm_label", "svm_confidence", "agree")

FEATURES = pa.schema(
    [
        *_IDENTITY,
        pa.field("label", pa.string()),
        pa.field("features", pa.list_(pa.float32()), nullable=False),
        pa.field("logits", pa.list_(pa.float32()), nullable=False),
        pa.field("bundle_digest", pa.string(), nullable=False),
    ]
)
"""One row per input row of a features run. `label` is the catalogue's own, null where it is none of the bundle's
classes; files hold the two lists with a fixed length, see `sized_features`."""

REJECTS = pa.schema(
    [
        *_IDENTITY,
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)
"""One row per input row without a prediction."""

SAMPLES = pa.schema(
    [
        *_IDENTITY,
        pa.field("label_id", pa.int16()),
        pa.field("confidence", pa.float32()),
        pa.field("true_label_id", pa.int16()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("thumbnail", pa.binary()),
        pa.field("order", pa.uint64(), nullable=False),
    ]
)
"""A few rows per class and per reason, for the report. `thumbnail` is a small PNG, null where nothing decodes;
`order` is the hash that chose the row: the lowest of each kind over all shards are a uniform sample."""


ANSWERED = ("predictions", "features")
"""The table that holds the rows which are no rejects: of a classify run the first, of a features run the second."""


def sized_features(width: int, num_labels: int) -> pa.Schema:
    """`FEATURES` with the list sizes of one network."""
    lengths = {"features": width, "logits": num_labels}
    return pa.schema(
        [
            field.with_type(pa.list_(pa.float32(), lengths[field.name])) if field.name in lengths else field
            for field in FEATURES
        ]
    )


def with_kept(schema: pa.Schema, kept: Sequence[pa.Field]) -> pa.Schema:
    """`schema` followed by the columns that `--keep` copies through from the catalogue, all nullable. One whose name
    a run's tables already use gets `input_` before it."""
    taken = {*PREDICTIONS.names, *REJECTS.names, *FEATURES.names}
    renamed = (field.with_name(f"input_{field.name}") if field.name in taken else field for field in kept)
    return pa.schema([*schema, *(field.with_nullable(True) for field in renamed)])
