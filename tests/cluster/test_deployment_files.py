"""`cluster/` and `docker/` without a cluster: KubeRay's own schemas, what security rests on, and that the command line
takes every command in them."""

from __future__ import annotations

import ast
import configparser
import importlib.metadata
import importlib.util
import json
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fmnist_ray.cli.app import app

ROOT = Path(__file__).parents[2]
RAY = importlib.metadata.version("ray")
FILES = ROOT / "cluster"
MANIFESTS = sorted(FILES.glob("kubernetes-*.yaml"))
SCHEMAS = Path(os.environ.get("KUBERAY_CRDS", ROOT.parent / "shared/data/kuberay-crds"))
"""The CRD files of KubeRay 1.7 (helm-chart/kuberay-operator/crds); tests that need them skip without."""


def documents() -> list[dict[str, Any]]:
    """All Kubernetes objects, with those that a ConfigMap holds as text."""
    found = [document for path in MANIFESTS for document in yaml.safe_load_all(path.read_text()) if document]
    inner = [text for document in found if document["kind"] == "ConfigMap" for text in document["data"].values()]
    return found + [document for text in inner for document in yaml.safe_load_all(text)]


def of_kind(*kinds: str) -> list[dict[str, Any]]:
    return [document for document in documents() if document["kind"] in kinds]


def strict(schema: Any) -> Any:
    """The schema with unknown fields forbidden, as `kubectl --validate=strict` does."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    if closed.pop("x-kubernetes-int-or-string", False):
        closed.pop("type", None)
        closed["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return closed


@pytest.mark.skipif(not SCHEMAS.is_dir(), reason="KubeRay's CRDs are not here: name their folder in KUBERAY_CRDS")
def test_kuberay_knows_every_field() -> None:
    schemas = {}
    for name in ("rayclusters", "rayjobs", "rayservices"):
        definition = yaml.load((SCHEMAS / f"ray.io_{name}.yaml").read_bytes(), yaml.CSafeLoader)["spec"]
        version = next(version for version in definition["versions"] if version["name"] == "v1")
        schema = strict(version["schema"]["openAPIV3Schema"]["properties"]["spec"])
        schemas[definition["names"]["kind"]] = jsonschema.Draft202012Validator(schema)
    checked = of_kind("RayCluster", "RayJob", "RayService")
    assert len(checked) == 4
    for document in checked:
        errors = [error.message for error in schemas[document["kind"]].iter_errors(document["spec"])]
        assert errors == []
    broken = json.loads(json.dumps(checked[0]["spec"]))
    broken["headGroupSpec"]["template"]["spec"]["containers"][0]["securityContxt"] = {}
    assert not schemas[checked[0]["kind"]].is_valid(broken)


def ray_clusters() -> Iterator[dict[str, Any]]:
    for document in of_kind("RayCluster", "RayJob", "RayService"):
        spec = document["spec"]
        yield spec.get("rayClusterSpec") or spec.get("rayClusterConfig") or spec


def test_clusters_ask_for_a_token_and_run_this_version_of_ray_with_an_idle_head() -> None:
    for cluster in ray_clusters():
        assert cluster["authOptions"] == {"mode": "token", "secretName": "ray-token"}
        assert cluster["rayVersion"] == RAY
        assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def pods() -> Iterator[dict[str, Any]]:
    for cluster in ray_clusters():
        yield cluster["headGroupSpec"]["template"]["spec"]
        yield from (group["template"]["spec"] for group in cluster["workerGroupSpecs"])
    yield from (job["spec"]["submitterPodTemplate"]["spec"] for job in of_kind("RayJob"))
    yield from (job["spec"]["jobTemplate"]["spec"]["template"]["spec"] for job in of_kind("CronJob"))


def test_every_container_is_locked_down_and_sized() -> None:
    """What the namespace's pod security level `restricted` demands, and a root file system that can't be written."""
    assert len(list(pods())) == 12
    for pod in pods():
        for container in pod["containers"]:
            context = {**pod.get("securityContext", {}), **container["securityContext"]}
            assert context["runAsNonRoot"] is True
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}
            assert container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"] or (
                container["name"] == "create"
            )
            assert {"cpu", "memory"} <= set(container["resources"]["limits"])
            volumes = {volume["name"] for volume in pod["volumes"]}
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_the_network_is_closed_but_for_what_is_named() -> None:
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in of_kind("NetworkPolicy")}
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    admitted = {port["port"] for rule in policies["ray"]["ingress"] for port in rule.get("ports", [])}
    assert admitted == {8265, 8080}
    outside = [to["ipBlock"] for rule in policies["ray"]["egress"] for to in rule["to"] if "ipBlock" in to]
    assert outside == [{"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}]
    labels = policies["ray"]["podSelector"]["matchLabels"]
    for cluster in ray_clusters():
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            assert labels.items() <= group["template"]["metadata"]["labels"].items()
    assert policies["endpoint"]["ingress"] == [{"ports": [{"port": 8000, "protocol": "TCP"}]}]


def test_no_file_holds_a_secret() -> None:
    assert of_kind("Secret") == []
    for path in (*FILES.iterdir(), *(ROOT / "docker").iterdir()):
        assert re.search(r"AKIA[0-9A-Z]{16}|BEGIN [A-Z ]*PRIVATE KEY", path.read_text()) is None, path


def commands() -> Iterator[str]:
    """Every `fmnist-ray ...` that these files run."""
    yield from (job["spec"]["entrypoint"] for job in of_kind("RayJob"))
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(FILES / "nightly.service")
    yield unit["Service"]["ExecStart"]
    for line in (FILES / "nightly.cron").read_text().splitlines():
        if line[:1].isdigit():
            yield "fmnist-ray" + line.split("fmnist-ray", 1)[1].split(">>")[0].replace("nightly.lock", "")
    for call in ast.walk(ast.parse((FILES / "nightly_airflow.py").read_text())):
        if isinstance(call, ast.keyword) and call.arg == "bash_command":
            yield str(ast.literal_eval(call.value)).replace("{{ ds }}", "2026-11-20")
    github = yaml.safe_load((FILES / "nightly-github.yaml").read_text())
    yield github["jobs"]["nightly"]["steps"][0]["run"]
    for line in (ROOT / "docker/compose.yaml").read_text().splitlines():
        if "exec head " in line:
            yield line.split("exec head ", 1)[1]


def test_the_command_line_takes_every_command() -> None:
    found = [shlex.split(command) for command in commands()]
    assert len(found) == 10
    group = typer.main.get_command(app)
    for program, name, *arguments in found:
        assert program.endswith("fmnist-ray")
        context = group.make_context("fmnist-ray", [name, *arguments])
        command = group.get_command(context, name)  # type: ignore[attr-defined]
        assert command is not None, name
        parsed = command.make_context(name, list(arguments), parent=context)
        if name == "submit":
            inner = group.get_command(context, parsed.params["command"])  # type: ignore[attr-defined]
            inner.make_context(parsed.params["command"], parsed.args, parent=context)


def test_the_launcher_file_is_one_and_opens_nothing() -> None:
    text = (FILES / "aws.yaml").read_text()
    config = yaml.safe_load(text)
    package = importlib.util.find_spec("ray")
    assert package is not None
    assert package.origin is not None
    schema = json.loads((Path(package.origin).parent / "autoscaler/ray-schema.json").read_text())
    jsonschema.validate(config, schema)
    assert all("RAY_AUTH_MODE=token" in command for command in text.splitlines() if "ray start" in command)
    assert "0.0.0.0" not in text
    assert "MarketType: spot" in text


def test_images_run_without_root_and_take_packages_by_hash() -> None:
    images = {path.stem: path.read_text() for path in (ROOT / "docker").glob("*.Dockerfile")}
    assert set(images) == {"cpu", "gpu", "s3"}
    for name, text in images.items():
        last = text.rpartition("FROM")[2]
        assert "USER 1000" in last, name
        assert name == "s3" or "--require-hashes" in text
    for path in (ROOT / "docker").glob("constraints*.txt"):
        pins = [line for line in path.read_text().splitlines() if re.match(r"[a-z0-9]", line)]
        assert len(pins) > 100
        assert all("==" in pin and pin.endswith("\\") for pin in pins), "an exact version, and hashes after it"
        assert f"ray=={RAY} " in path.read_text()
        elsewhere = {"torch", "torchvision"} if path.stem == "constraints-cpu" else set()
        chosen = [Requirement(pin.rstrip(" \\")) for pin in pins]
        for needed in map(Requirement, tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]):
            versions = [
                pin.specifier for pin in chosen if canonicalize_name(pin.name) == canonicalize_name(needed.name)
            ]
            assert versions or needed.name in elsewhere, f"{path.name} lacks {needed.name}: make it anew"
            for version in versions:
                assert str(version).removeprefix("==") in needed.specifier, f"{path.name}: make it anew"


def test_containers_start_one_after_the_other_and_only_loopback_is_published() -> None:
    compose = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())
    services = compose["services"]
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert service["cap_drop"] == ["ALL"]
        assert (ROOT / service["build"]["dockerfile"]).is_file()
    assert services["head"]["environment"]["RAY_AUTH_MODE"] == "token"
    for name, service in services.items():
        for waits_for, how in service.get("depends_on", {}).items():
            assert how["condition"] != "service_healthy" or "healthcheck" in services[waits_for], name
