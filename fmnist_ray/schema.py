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


class Decision(StrEnum):
    """What to do with a prediction."""

    ACCEPT = "accept"
    """use it: the promised precision holds"""
    REVIEW = "review"
    """ask a person"""
    DECLINE = "decline"
    """don't use it: the photo shows nothing that the bundle knows"""


class DecisionReason(StrEnum):
    """Why a row is accepted, reviewed or declined."""

    CONFIDENT = "confident"
    """at or above the threshold of its class"""
    UNSURE = "unsure"
    """below the threshold of its class"""
    UNPROVEN = "unproven"
    """held-out rows prove no threshold for its class"""
    NOVEL = "novel"
    """the features are unlike those of every class"""
    UNUSABLE_PHOTO = "unusable_photo"
    """blank, tiny or blurred; `photo_problem` says which"""


PHOTO_PROBLEMS = ("blank", "tiny", "blurred")
"""What can be wrong with a photo: hardly any contrast, hardly any object, no detail."""

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
        pa.field("decision", pa.string()),
        pa.field("decision_reason", pa.string()),
        pa.field("label_set", pa.list_(pa.string())),
        pa.field("novelty", pa.float32()),
        pa.field("photo_problem", pa.string()),
    ]
)
"""One row per classified input row. `confidence` is the calibrated probability that `label` is right, in 0..1, and
`image_digest` the first 16 bytes of the SHA-256 of the encoded image. What the network's own head and the SVM say is in
the next five columns; without an SVM the last three of them are null.

`decision` and its reason are null where no precision was promised. `label_set` holds the classes that the row may well
be, the likeliest first; it may be empty. `novelty` is a p-value: low for a row unlike all classes. `photo_problem` is
null for a good photo. The last three are null for a bundle without held-out rows."""

HEAD_COLUMNS = ("cnn_label", "cnn_confidence", "svm_label", "svm_confidence", "agree")
DECISION_COLUMNS = ("decision", "decision_reason", "label_set", "novelty", "photo_problem")

REVIEW_QUEUE = pa.schema(
    [
        *_IDENTITY,
        *(PREDICTIONS.field(name) for name in ("label", "confidence", *HEAD_COLUMNS, *DECISION_COLUMNS)),
        pa.field("value", pa.float32(), nullable=False),
        pa.field("audit", pa.bool_(), nullable=False),
        pa.field("order", pa.uint64(), nullable=False),
    ]
)
"""Rows for people to look at. `value` is the probability that the label is wrong; `audit` marks the rows that were
drawn at random from all predictions, whatever their decision, to estimate a night's precision, by their `order`."""

REVIEWED = pa.schema(
    [
        *_IDENTITY,
        pa.field("label", pa.string()),
        pa.field("predicted", pa.string(), nullable=False),
        pa.field("decision", pa.string()),
        pa.field("audit", pa.bool_(), nullable=False),
        pa.field("image", pa.binary()),
    ]
)
"""What people decided, and a labelled catalogue: `label` is theirs, null where a photo shows none of the classes."""

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

CONTRADICTIONS = pa.schema(
    [
        *_IDENTITY,
        pa.field("category", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("confidence", pa.float32(), nullable=False),
        pa.field("thumbnail", pa.binary()),
    ]
)
"""Rows whose `category` in the catalogue is another class than the photo surely shows. The surest of each shard have a
`thumbnail`, a small PNG."""

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
