"""The endpoint's configuration for Kubernetes is one that Ray Serve takes, and that this version can carry out."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest
import yaml

from fmnist_ray.config.decisions import Promises
from fmnist_ray.config.serve import ServeSettings
from fmnist_ray.endpoint.keys import add_key
from fmnist_ray.errors import SettingError

FILE = Path(__file__).parents[2] / "cluster" / "kubernetes-serve.yaml"
SHARED = Path(os.environ.get("FMNIST_RAY_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
CRD = SHARED / "kuberay-crds" / "ray.io_rayservices.yaml"


@pytest.mark.filterwarnings("ignore:Using extra keyword arguments:DeprecationWarning")  # in Ray's own schema
def test_serve_takes_the_configuration(tmp_path: Path) -> None:
    from ray.serve.schema import ServeDeploySchema

    service, policy = yaml.safe_load_all(FILE.read_text())
    config = ServeDeploySchema.model_validate(yaml.safe_load(service["spec"]["serveConfigV2"]))
    [application] = config.applications
    module, _, name = application.import_path.partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    settings = ServeSettings(host=str(config.http_options.host), **application.args)
    assert settings.keys_path is not None
    without_keys = {key: value for key, value in application.args.items() if key != "keys_path"}
    build = getattr(importlib.import_module(module), name)
    with pytest.raises(SettingError, match="needs keys"):
        build(without_keys)
    add_key(str(tmp_path / "keys"), "shop", "classify")
    changes = {"keys_path": str(tmp_path / "keys"), "promises": {"min_precision": 0.99}}
    told, _, _ = build({**application.args, **changes})._bound_deployment.init_args
    assert told.promises == Promises(min_precision=0.99)
    deployment, explainer = application.deployments
    assert (deployment.name, explainer.name) == ("endpoint", "explainer")
    assert deployment.user_config == {"bundle": settings.bundle}
    assert policy["spec"]["ingress"][0]["ports"] == [{"port": config.http_options.port, "protocol": "TCP"}]


@pytest.mark.skipif(not CRD.exists(), reason="needs KubeRay's resource definitions")
def test_kuberay_takes_the_resource() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    service = next(yaml.safe_load_all(FILE.read_text()))
    definition = yaml.load(CRD.read_text(), yaml.CSafeLoader)  # the plain loader takes a minute
    [version] = [each for each in definition["spec"]["versions"] if each["name"] == "v1"]
    schema = version["schema"]["openAPIV3Schema"]
    validator = jsonschema.Draft202012Validator(strict(schema))
    assert list(validator.iter_errors(service)) == []
    misspelt = {**service, "spec": {**service["spec"], "serveConfigV3": ""}}
    assert ["serveConfigV3" in error.message for error in validator.iter_errors(misspelt)] == [True]


def strict(schema: object) -> object:
    """The schema, refusing names it does not list, so that a misspelt field is seen."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: strict(value) for name, value in schema.items()}
    free = inner.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in inner
    if isinstance(inner.get("properties"), dict) and inner.get("type") == "object" and not free:
        top = {"apiVersion": {}, "kind": {}, "metadata": {}} if "spec" in inner["properties"] else {}
        inner["properties"] = {**top, **inner["properties"]}
        inner["additionalProperties"] = False
    return inner
