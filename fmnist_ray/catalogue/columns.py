"""The columns of a catalogue: which of them a run reads, and whether every file has them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from fmnist_ray.config.classify import ColumnNames
from fmnist_ray.errors import CatalogueError
from fmnist_ray.schema import LABEL, PRODUCT_ID


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns a run reads, resolved against the catalogue's schema."""

    id: str | None
    image: str
    label: str | None
    keep: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Each column once."""
        wanted = (self.id, self.image, self.label, *self.keep)
        return list(dict.fromkeys(name for name in wanted if name is not None))

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Columns:
        return cls(**{**content, "keep": tuple(content["keep"])})


def resolve_columns(names: ColumnNames, schema: pa.Schema, where: str) -> Columns:
    """Fill in the columns that were not named, and refuse those that were named but are not there."""
    asked = [name for name in (names.id, names.image, names.label, *names.keep) if name is not None]
    if missing := [name for name in asked if name not in schema.names]:
        raise CatalogueError(f"{where} has no column {missing[0]!r}; it has {', '.join(schema.names)}.")
    return Columns(
        id=names.id or (PRODUCT_ID if PRODUCT_ID in schema.names else None),
        image=names.image,
        label=names.label or (LABEL if LABEL in schema.names else None),
        keep=tuple(dict.fromkeys(names.keep)),
    )


def check_columns(schema: pa.Schema, columns: Columns, kept: pa.Schema, where: str, *, fetches: bool) -> None:
    """`CatalogueError` where a file of the catalogue lacks a column, or one holds something else than it must. `kept`
    are the fields to keep, as the first file has them; with `fetches` the image column may hold names of images."""
    if missing := [name for name in columns.names if name not in schema.names]:
        raise CatalogueError(f"{where} has no column {missing[0]!r}, which other files of the catalogue have.")
    for name in columns.names:
        if isinstance(schema.field(name).type, pa.BaseExtensionType):
            raise CatalogueError(f"Column {name!r} of {where} has an extension type; store it as a plain column.")
    image = schema.field(columns.image).type
    if not _holds_bytes(image) and not (fetches and _is_text(image)):
        raise CatalogueError(
            f"Column {columns.image!r} of {where} holds {image}; it must hold encoded image bytes (binary)"
            f"{', or names of images (string)' if fetches else ''}. Name the right one with --image-column."
        )
    if columns.id is not None and not _is_id(schema.field(columns.id).type):
        raise CatalogueError(
            f"Column {columns.id!r} of {where} holds {schema.field(columns.id).type}; ids are text or "
            "whole numbers. Name the right one with --id-column."
        )
    for field in kept:
        if schema.field(field.name).type != field.type:
            raise CatalogueError(
                f"Column {field.name!r} of {where} holds {schema.field(field.name).type}, in other files {field.type}: "
                "a kept column must have one type."
            )


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_id(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(_is_text(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind))
