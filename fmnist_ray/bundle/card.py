"""The model card: a bundle's README, from the facts in its description."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fmnist_ray.bundle.format import CARD, GOLDEN, GRAPH, HELDOUT, HISTORY, NOVELTY, SPEC, SVM, WEIGHTS, BundleSpec

_APART = ("command", "settings", "svm", "calibration", "compressed", "pruned")
"""Facts that have a place of their own."""


def model_card(spec: BundleSpec, files: Collection[str]) -> bytes:
    """What the network is for, how it was made, what it reached, and where it should not be trusted, as Markdown.
    `files` are those that the bundle has besides what every bundle has."""
    facts, metrics = spec.provenance, spec.metrics
    preparation = spec.preparation
    colour = "grey" if preparation.channels == 1 else "RGB"
    lines = [
        f"# {spec.architecture}",
        "",
        f"Classifies product photos, prepared to {preparation.size} x {preparation.size} pixels {colour} in style "
        f"{preparation.style}, into {len(spec.labels)} classes: {', '.join(spec.labels)}.",
        "",
        "## Made by",
        "",
        "```sh",
        facts.get("command", "# not recorded"),
        "```",
        "",
        *_table("training", {name: value for name, value in facts.items() if name not in _APART}),
        *_table("setting", _flat(facts.get("settings", {}))),
        "## Reached",
        "",
        *_table("measure", metrics),
        "The epoch was chosen on the validation split, which also fitted the temperature "
        f"({spec.temperature:.4f}); test images were scored once, at the end.",
        "",
        *_heads(spec),
        *(_table("pruned from another bundle, then trained on", facts["pruned"]) if "pruned" in facts else []),
        *(_table("calibrated anew", facts["calibration"]) if "calibration" in facts else []),
        *(_table("compressed", facts["compressed"]) if "compressed" in facts else []),
        "## Limits",
        "",
        "Confidence is calibrated, and a promised precision holds, for photos like the held-out images. A photo of "
        "something else gets one of these classes too; its novelty and decision say so.",
        "",
        "## Files",
        "",
        f"`{SPEC}` description, `{GRAPH}` prepared pixels to logits and features, "
        + (f"`{WEIGHTS}` the weights, " if "compressed" not in facts else "")
        + (f"`{SVM}` the SVM, " if spec.heads else "")
        + (f"`{HELDOUT}` and `{NOVELTY}` what decisions follow from, " if HELDOUT in files else "")
        + (f"`{HISTORY}` the learning curves, " if HISTORY in files else "")
        + f"`{GOLDEN}` images with the answers that every runtime must repeat, `{CARD}` this page.",
        "",
    ]
    return "\n".join(lines).encode()


def _heads(spec: BundleSpec) -> list[str]:
    """The SVM on the network's features, where there is one."""
    if spec.heads is None:
        return []
    facts = spec.provenance["svm"]
    who = {"cnn": "the network's own head", "svm": "the SVM", "both": "their combination"}[spec.heads.decides]
    return [
        "## SVM",
        "",
        "```sh",
        facts["command"],
        "```",
        "",
        *_table("setting", {name: value for name, value in facts.items() if name != "command"}),
        f"Validation images, which neither head was fitted on, calibrated the SVM (temperature "
        f"{spec.heads.svm_temperature:.4f}) and the combination, and chose who decides: {who}.",
        "",
    ]


def _table(title: str, rows: dict[str, Any]) -> list[str]:
    return [f"| {title} | |", "| --- | --- |", *(f"| {name} | {_text(value)} |" for name, value in rows.items()), ""]


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """Nested settings by dotted names; what is off, zero or empty is left out."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        nested = {f"{name}.{key}": inner for key, inner in value.items()} if isinstance(value, dict) else {name: value}
        flat.update({key: inner for key, inner in nested.items() if inner or key == "seed"})
    return flat
