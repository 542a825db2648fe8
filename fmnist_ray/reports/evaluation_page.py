"""The report of an evaluation in its four forms: a page, JSON, a summary in Markdown, and charts as SVG."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from fmnist_ray.reports import formats
from fmnist_ray.reports.evaluation_figures import evaluation_figures, risk_chart
from fmnist_ray.reports.learning import learning_charts
from fmnist_ray.reports.page import render


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """The finished report. `content` holds every number of the page."""

    content: dict[str, Any]

    def files(self) -> dict[str, bytes]:
        """Every file of the report by its name."""
        return {
            "evaluation.json": self.to_json(),
            "evaluation.md": self.to_markdown().encode(),
            **{f"charts/{name}.svg": figure for name, figure in evaluation_figures(self.content).items()},
            "evaluation.html": self.to_html(),
        }

    def to_json(self) -> bytes:
        """`evaluation.json`."""
        return json.dumps(self.content, indent=1, default=lambda example: example.to_dict()).encode() + b"\n"

    def to_html(self) -> bytes:
        """One self-contained page."""
        return render("evaluate.html.j2", report=self.content, risk_chart=risk_chart, learning_charts=learning_charts)

    def scalars(self) -> dict[str, float]:
        """The figures by name, for a tracker."""
        content, evaluation = self.content, self.content["evaluation"]
        figures = {name: evaluation[name] for name in ("accuracy", "macro_f1", "expected_calibration_error")}
        figures |= {"log_loss": content["log_loss"], "brier": content["brier"]}
        for entry in evaluation["classes"]:
            for name in ("precision", "recall", "f1"):
                if entry[name] is not None:
                    figures[f"{name}/{entry['label']}"] = entry[name]
        if content["corruptions"]:
            figures["corrupted_accuracy"] = content["corruptions"]["mean"]
            figures |= {f"corrupted/{row['name']}": row["mean"] for row in content["corruptions"]["rows"]}
        return figures

    def to_markdown(self) -> str:
        """A summary for terminals and pull requests."""
        return "\n".join(_markdown(self.content)) + "\n"


def _markdown(content: dict[str, Any]) -> list[str]:
    facts, evaluation = content["facts"], content["evaluation"]
    low, high = evaluation["accuracy_low"], evaluation["accuracy_high"]
    lines = [
        f"# {_cell(facts['bundle_uri'])} on {_cell(facts['data_uri'])}",
        "",
        f"Accuracy **{formats.percent(evaluation['accuracy'], 2)}** ({formats.percent(low, 2)} to "
        f"{formats.percent(high, 2)} at 95 %) of {evaluation['num_labelled']:,} rows; macro F1 "
        f"{evaluation['macro_f1']:.4f}, log loss {content['log_loss']:.4f}, calibration error "
        f"{formats.percent(evaluation['expected_calibration_error'], 2)}.",
        "",
        "| class | rows | precision | recall | F1 | AUC |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for entry, curves in zip(evaluation["classes"], content["classes"], strict=True):
        auc = curves["curves"]["auc"] if curves["curves"] else None
        lines.append(
            f"| {_cell(entry['label'])} | {entry['num_true']:,} | {formats.percent(entry['precision'])} | "
            f"{formats.percent(entry['recall'])} | {formats.score(entry['f1'])} | {formats.score(auc)} |"
        )
    for pair in evaluation["worst_pairs"][:3]:
        taken = f"{_cell(pair['true_label'])} taken for {_cell(pair['label'])}"
        lines += ["", f"- {taken}: {pair['num_rows']:,} rows, {formats.percent(pair['share'])}"]
    for part in content["slices"]:
        if part["differs"] and part["accuracy"] < evaluation["accuracy"]:
            share = f"{formats.percent(part['accuracy'])} of {part['num_rows']:,} rows"
            lines += ["", f"- worse where {_cell(part['kind'])} is {_cell(part['value'])}: {share}"]
    if comparison := content["comparison"]:
        lines += [
            "",
            f"Against {_cell(facts['against_uri'])}: {100 * comparison['difference']:+.2f} points "
            f"({100 * comparison['difference_low']:+.2f} to {100 * comparison['difference_high']:+.2f}), McNemar p = "
            f"{comparison['p_value']:.2g}, {comparison['num_flipped']:,} rows flip. {comparison['verdict']}.",
        ]
    if table := content["corruptions"]:
        lines += [
            "",
            f"Mean accuracy under {len(table['rows'])} corruptions: {formats.percent(table['mean'])} of "
            f"{table['num_rows']:,} rows (clean {formats.percent(table['clean'])}).",
        ]
    return lines


def _cell(text: Any) -> str:
    """Text from outside, for a Markdown table."""
    return str(formats.brief(text, 60)).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
