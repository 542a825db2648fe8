"""What changes when one bundle takes the place of another: their descriptions, and the rows that get another label."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fmnist_ray import __version__
from fmnist_ray.bundle.format import Bundle, read_bundle
from fmnist_ray.config.bundles import PairSettings
from fmnist_ray.flows.bundle_pair import Opened, Pair, answer_both, open_bundle
from fmnist_ray.reports.bundle_diff_page import BUNDLE_DIFF_VERSION, BundleDiffReport, rows_content
from fmnist_ray.store import open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleDiff:
    """A diff; with a page where rows were answered."""

    report: BundleDiffReport
    report_uri: str | None


def diff_descriptions(before: str, after: str) -> BundleDiffReport:
    """Which settings, metrics and digests differ; no row is answered."""
    first, second = read_bundle(before), read_bundle(after)
    return BundleDiffReport(_described(first, before, second, after))


def diff_bundles(
    settings: PairSettings, *, out_uri: str, on_progress: Callable[[int, int], None] | None = None
) -> BundleDiff:
    """Have both bundles answer every row, and write `diff.html` and `diff.json`. Rows need no labels; those that have
    one say which bundle is better. Raises as `answer_both`, and the bundles' errors."""
    content = diff_descriptions(settings.before, settings.after).content
    before, after = (open_bundle(name, settings.min_precision) for name in (settings.before, settings.after))
    pair = answer_both(settings, before.classifier, after.classifier, on_progress=on_progress)
    content["rows"] = _rows(settings, before, after, pair)
    report = BundleDiffReport(content)
    out = open_store(out_uri)
    for name, data in report.files().items():
        out.put(name, data)
    return BundleDiff(report=report, report_uri=f"{out.uri}/diff.html")


def _rows(settings: PairSettings, before: Opened, after: Opened, pair: Pair) -> dict[str, Any]:
    shares = pair.before.accepted_share, pair.after.accepted_share
    accepted = None
    if None not in shares:
        accepted = {"min_precision": settings.min_precision, "before": shares[0], "after": shares[1]}
    labels = before.classifier.labels
    return {
        "data_uri": settings.data_uri,
        "num_rows": pair.num_rows,
        **rows_content(pair.truth, pair.before.label_ids, pair.after.label_ids, pair.samples, labels),
        "accepted": accepted,
        "no_promise": [side.no_promise for side in (before, after) if side.no_promise],
    }


def _described(before: Bundle, before_name: str, after: Bundle, after_name: str) -> dict[str, Any]:
    first, second = (dict(_flat(_facts(bundle))) for bundle in (before, after))
    names = [*first, *(name for name in second if name not in first)]
    return {
        "diff_version": BUNDLE_DIFF_VERSION,
        "compared_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "program_version": __version__,
        "before": {"name": before_name, "digest": before.digest},
        "after": {"name": after_name, "digest": after.digest},
        "differences": [
            {"name": name, "before": first.get(name), "after": second.get(name)}
            for name in names
            if first.get(name) != second.get(name)
        ],
        "rows": None,
    }


def _facts(bundle: Bundle) -> dict[str, Any]:
    spec = bundle.spec
    return {
        "architecture": spec.architecture,
        "architecture_args": spec.architecture_args,
        "labels": ", ".join(spec.labels),
        "preparation": dataclasses.asdict(spec.preparation),
        "decides": spec.heads.decides if spec.heads else "cnn",
        "temperature": spec.temperature,
        "metrics": spec.metrics,
        "settings": spec.provenance.get("settings", {}),
        "size_bytes": sum(map(len, bundle.files.values())),
    }


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names with dots, and values that are no mappings."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
