"""The bundle folder: what is in it, how it is written, and how a changed one is noticed.

A bundle is a folder, never an archive and never a pickle. `manifest.json` lists every other file with its size and
sha256; the sha256 of `manifest.json` is the bundle's digest, which is in every plan id and every prediction row.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from fmnist_ray.bundle.aliases import aliased_uri, split_alias
from fmnist_ray.config.classify import HeadName
from fmnist_ray.config.images import Preparation
from fmnist_ray.decisions.calibration import Curve
from fmnist_ray.decisions.heads import HeadRule
from fmnist_ray.errors import BundleError, NotFoundError, OutputTakenError, ParityError
from fmnist_ray.labels import Labels
from fmnist_ray.store import Store, open_store

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
SPEC = "bundle.json"
GRAPH = "model.onnx"
WEIGHTS = "cnn.safetensors"
SVM = "svm.safetensors"
HELDOUT = "heldout.safetensors"
NOVELTY = "novelty.safetensors"
GOLDEN = "golden.parquet"
HISTORY = "history.json"
CARD = "README.md"

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SHIPPED = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading JSON of another shape than expected can raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSpec:
    """The content of `bundle.json`: everything about the model that is not an array."""

    labels: Labels
    """Class names in the order of the graph's outputs."""
    architecture: str
    """Name of the network in `networks/`."""
    architecture_args: dict[str, Any]
    """Its arguments, as `networks.build_network` takes them."""
    preparation: Preparation
    """How images become the graph's input."""
    temperature: float
    """Divisor of the logits that makes the softmax a calibrated probability (Guo et al., arXiv 1706.04599)."""
    heads: HeadRule | None = None
    """How the network's and the SVM's scores become one answer; None for a bundle without an SVM."""
    curves: Mapping[HeadName, Curve] = field(default_factory=dict)
    """The last step of each head's calibration; a head without one has none."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """How it was trained: recipe, seed, data, versions."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """What it reached, on which data, with n."""

    def __post_init__(self) -> None:
        if not self.labels or len(set(self.labels)) != len(self.labels):
            raise BundleError(
                f"A bundle needs labels, each once; these are {', '.join(map(str, self.labels)) or 'none'}."
            )
        if not (isinstance(self.temperature, float | int) and 0 < self.temperature < math.inf):
            raise BundleError(f"A bundle needs a temperature above 0; found {self.temperature!r}.")

    def to_json(self) -> bytes:
        content = {"format_version": FORMAT_VERSION, **dataclasses.asdict(self)}
        return json.dumps(content, indent=2, sort_keys=True).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> BundleSpec:
        try:
            content = json.loads(data)
            version = content.pop("format_version")
            if version != FORMAT_VERSION:
                raise BundleError(f"{SPEC} has format version {version}; this program reads version {FORMAT_VERSION}.")
            content["labels"] = tuple(content["labels"])
            content["preparation"] = Preparation.from_dict(content["preparation"])
            content["curves"] = {head: Curve(**curve) for head, curve in content.get("curves", {}).items()}
            content["heads"] = HeadRule(**content["heads"]) if content.get("heads") else None
            return cls(**content)
        except _MALFORMED as error:
            raise BundleError(f"{SPEC} is not a bundle description: {error!r}.") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle whose files all match its manifest."""

    uri: str
    digest: str
    """sha256 of `manifest.json`, in hex."""
    spec: BundleSpec
    files: dict[str, bytes] = field(repr=False)
    """Content of every file of the manifest, by name. A bundle of a small network is a few MB."""


def shipped_names() -> list[str]:
    """Bundles that come with the package."""
    return sorted(entry.name for entry in _shipped_folder().iterdir() if (entry / MANIFEST).is_file())


def bundle_uri(name_or_uri: str) -> str:
    """The place of a bundle: a shipped one by its bare name (`default`), one of a registry by its alias
    (`s3://shop/bundles@default`), else the path or URI as given."""
    if _SHIPPED.fullmatch(name_or_uri):
        shipped = _shipped_folder() / name_or_uri
        if shipped.is_dir():
            return str(shipped)
    return aliased_uri(name_or_uri)


def node_uri(name_or_uri: str) -> str:
    """What to tell another node: a shipped bundle's bare name, since its package may lie elsewhere, or a full place;
    for an alias that of the bundle which it means now, so that all nodes use the same one."""
    place = bundle_uri(name_or_uri)
    shipped = place != name_or_uri and split_alias(name_or_uri) is None
    return name_or_uri if shipped else open_store(place).uri


def _shipped_folder() -> Traversable:
    return resources.files("fmnist_ray") / "bundles"


def check_free(out: Store, *, replace: bool) -> None:
    """`OutputTakenError` when a bundle is at `out` and `replace` is off."""
    try:
        out.info(MANIFEST)
    except NotFoundError:
        return
    if not replace:
        raise OutputTakenError(f"{out.uri} holds a bundle already: name another place, or add --replace.")


def write_bundle(store: Store, spec: BundleSpec, files: dict[str, bytes]) -> str:
    """Write a bundle and return its digest. The manifest goes last: a folder without it is no bundle."""
    content = {**files, SPEC: spec.to_json()}
    for name, data in content.items():
        _check_name(name)
        if name.endswith(".safetensors"):
            _check_safetensors(name, data)
    manifest = {
        "format_version": FORMAT_VERSION,
        "files": {
            name: {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in sorted(content.items())
        },
    }
    encoded = json.dumps(manifest, indent=2, sort_keys=True).encode() + b"\n"
    for name, data in sorted(content.items()):
        store.put(name, data)
    store.put(MANIFEST, encoded)
    return hashlib.sha256(encoded).hexdigest()


def read_bundle(name_or_uri: str) -> Bundle:
    """Read a bundle and check every byte against its manifest.

    Raises `BundleError` where there is no bundle, `ParityError` where a file is missing, added or changed.
    """
    uri = bundle_uri(name_or_uri)
    store = open_store(uri)
    encoded = _read_manifest(store, name_or_uri)
    listed = _manifest_files(encoded, uri)
    present = {info.key for info in store.list()} - {MANIFEST}
    if odd := sorted(present ^ set(listed)):
        raise ParityError(f"Bundle {uri}: {', '.join(odd[:3])} is in the folder or in the manifest, but not in both.")
    files = {name: store.get(name) for name in listed}
    for name, data in files.items():
        if len(data) != listed[name]["size_bytes"] or hashlib.sha256(data).hexdigest() != listed[name]["sha256"]:
            raise ParityError(f"Bundle {uri}: {name} was changed since the bundle was written. Copy the bundle anew.")
        if name.endswith(".safetensors"):
            _check_safetensors(name, data)
    spec = BundleSpec.from_json(files[SPEC])
    return Bundle(uri=uri, digest=hashlib.sha256(encoded).hexdigest(), spec=spec, files=files)


def copy_bundle(bundle: Bundle, out: Store) -> None:
    """Copy a bundle byte for byte, so that it keeps its digest; nothing is done where it is already."""
    try:
        out.info(MANIFEST)
    except NotFoundError:
        encoded = open_store(bundle.uri).get(MANIFEST)
        if hashlib.sha256(encoded).hexdigest() != bundle.digest:
            raise ParityError(f"Bundle {bundle.uri} was changed while it was copied: run the command again.") from None
        for name, data in sorted(bundle.files.items()):
            out.put(name, data)
        out.put(MANIFEST, encoded)


def bundle_digest(name_or_uri: str) -> str:
    """The digest of the bundle that is at a place now, by its manifest alone; `BundleError` where there is none."""
    return hashlib.sha256(_read_manifest(open_store(bundle_uri(name_or_uri)), name_or_uri)).hexdigest()


def _read_manifest(store: Store, name: str) -> bytes:
    try:
        return store.get(MANIFEST)
    except NotFoundError as error:
        raise BundleError(
            f"{name} is not a bundle (no {MANIFEST} there): name a shipped bundle, such as default, or the folder that "
            "fmnist-ray train wrote."
        ) from error


def _manifest_files(encoded: bytes, uri: str) -> dict[str, dict[str, Any]]:
    try:
        files: dict[str, dict[str, Any]] = json.loads(encoded)["files"]
        for name, entry in files.items():
            _check_name(name)
            entry["size_bytes"], entry["sha256"]
    except _MALFORMED as error:
        raise BundleError(f"{uri}/{MANIFEST} is not a bundle manifest: {error!r}.") from error
    if SPEC not in files:
        raise BundleError(f"{uri}/{MANIFEST} names no {SPEC}.")
    return files


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name.startswith("."):
        raise BundleError(f"A bundle can't hold a file named {name!r}: letters, digits, '.', '_' and '-' only.")
    if name.endswith((".pkl", ".pickle", ".pt", ".pth", ".pt2", ".joblib")):
        raise BundleError(f"A bundle can't hold {name}: pickled files run code when they are loaded.")


def _check_safetensors(name: str, data: bytes) -> None:
    """Refuse a file that only pretends to hold plain arrays, by the header that every safetensors file starts with."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length]) if length <= len(data) - 8 else None
    except _MALFORMED:
        header = None
    if not isinstance(header, dict):
        raise BundleError(f"{name} is no safetensors file, and nothing else may hold a bundle's weights.")
