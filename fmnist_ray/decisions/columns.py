"""Answers as columns of the predictions table."""

from __future__ import annotations

import pyarrow as pa

from fmnist_ray.decisions.decide import Answers


def head_columns(labels: pa.Array, cnn: Answers, svm: Answers | None) -> list[pa.Array]:
    """What each head said, in the order of `schema.HEAD_COLUMNS`; null for a head that is not there."""
    columns = [labels.take(pa.array(cnn.label_ids)), pa.array(cnn.confidences, pa.float32())]
    if svm is None:
        return [*columns, *(pa.nulls(len(cnn.label_ids), kind) for kind in (pa.string(), pa.float32(), pa.bool_()))]
    agree = pa.array(cnn.label_ids == svm.label_ids)
    return [*columns, labels.take(pa.array(svm.label_ids)), pa.array(svm.confidences, pa.float32()), agree]
