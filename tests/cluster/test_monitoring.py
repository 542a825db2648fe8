"""`cluster/alerts.yaml` and `cluster/grafana.json`: PromQL that parses, over metrics that the code has."""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from fmnist_ray.distributed import run_metrics
from fmnist_ray.endpoint.metrics import Metrics

ROOT = Path(__file__).parents[2]
ALERTS = yaml.safe_load((ROOT / "cluster/alerts.yaml").read_text())
DASHBOARD = json.loads((ROOT / "cluster/grafana.json").read_text())
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in RULES)
    yield from (target["expr"] for panel in PANELS for target in panel["targets"])


def exported() -> set[str]:
    """Names as Prometheus has them: Ray's, read from the calls that make them, and the endpoint's own."""
    names = set()
    for call in ast.walk(ast.parse(Path(run_metrics.__file__).read_text())):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("Counter", "Gauge"):
            name = ast.literal_eval(call.args[0])
            names.add(f"ray_{name}_total" if call.func.id == "Counter" else f"ray_{name}")
    endpoint = Metrics("replica")
    endpoint.bundle("digest")
    endpoint.reload("done")
    endpoint.images([])
    endpoint.request({"type": "http"}, 200, 0.1)
    for family in text_string_to_metric_families(endpoint.text().decode()):
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        if not family.name.endswith("_created"):
            names |= {family.name + suffix for suffix in suffixes}
    return names


def test_every_metric_that_is_looked_at_exists_and_every_one_that_exists_is_looked_at() -> None:
    used = {name for text in expressions() for name in re.findall(r"\b(?:ray_fmnist|fmnist_ray)_\w+", text)}
    assert used <= exported()
    seldom = {"fmnist_ray_request_seconds_sum", "fmnist_ray_request_seconds_count", "fmnist_ray_batch_images_bucket"}
    assert exported() - used == seldom


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_every_expression_is_promql(expression: str) -> None:
    assert promql_parser.parse(expression) is not None


def test_nonsense_is_not_promql() -> None:
    with pytest.raises(ValueError, match=r"."):
        promql_parser.parse("sum by (run (rows)")


def test_alerts_say_what_is_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES) == 7
    for rule in RULES:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[smhd]", rule["for"])
        assert rule["labels"]["severity"] in ("page", "warn")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert all(text.endswith(".") for text in rule["annotations"].values()), rule["alert"]


def test_panels_have_a_source_and_a_place_of_their_own() -> None:
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["source"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in PANELS:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${source}"}
    for one, other in itertools.combinations((panel["gridPos"] for panel in DASHBOARD["panels"]), 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y
        assert one["x"] + one["w"] <= 24
