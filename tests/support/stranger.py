"""Someone without a token at the ports of a Ray cluster: what speaks there, and what it answers."""

from __future__ import annotations

import contextlib
import http.client
import importlib
import pkgutil
from concurrent.futures import ThreadPoolExecutor

import grpc
import ray.core.generated

HTTP_PATHS = (
    "/api/jobs/", "/api/version", "/nodes?view=summary", "/api/serve/applications/", "/api/job_agent/jobs/",
    "/get_or_create_runtime_env", "/delete_runtime_env_if_possible", "/get_runtime_envs_info", "/api/v0/tasks", "/logs",
    "/worker/traceback?pid=1", "/api/cluster_status", "/api/local_raylet_healthz", "/api/gcs_healthz",
)  # fmt: skip
_NOT_IN_PYTHON = (
    "ray.rpc.ObjectManagerService/Push", "ray.rpc.ObjectManagerService/Pull",
    "ray.rpc.ObjectManagerService/FreeObjects", "ray.rpc.syncer.RaySyncer/StartSync", "grpc.health.v1.Health/Check",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)  # fmt: skip
"""Methods of Ray's that its Python package has no description of."""
_METADATA = (("node_id", "ab" * 28),)
"""Ray 2.60's StartSync ends its process where this is missing, before it looks for a token."""
_TIMEOUT_S = 5


def grpc_methods() -> list[str]:
    """Every gRPC method that Ray has, as service/method."""
    found = set(_NOT_IN_PYTHON)
    for module in pkgutil.iter_modules(ray.core.generated.__path__):
        with contextlib.suppress(ImportError):
            file = getattr(importlib.import_module(f"ray.core.generated.{module.name}"), "DESCRIPTOR", None)
            for service in file.services_by_name.values() if file is not None else ():
                found |= {f"{service.full_name}/{method.name}" for method in service.methods}
    return sorted(found)


def grpc_answers(host: str, port: int) -> dict[str, grpc.StatusCode]:
    """What each method that exists at this port answers to a call without a token; empty for a port that speaks no
    gRPC."""
    with grpc.insecure_channel(f"{host}:{port}") as channel:

        def call(method: str) -> grpc.StatusCode:
            try:
                # Bytes as they are: an empty message is one of every type.
                channel.unary_unary(f"/{method}")(b"", timeout=_TIMEOUT_S, metadata=_METADATA)
            except grpc.RpcError as error:
                return error.code()
            return grpc.StatusCode.OK

        try:
            grpc.channel_ready_future(channel).result(timeout=_TIMEOUT_S)
        except grpc.FutureTimeoutError:
            return {}
        methods = grpc_methods()
        with ThreadPoolExecutor(16) as threads:
            answers = dict(zip(methods, threads.map(call, methods), strict=True))
    return {method: code for method, code in answers.items() if code is not grpc.StatusCode.UNIMPLEMENTED}


def http_answers(host: str, port: int) -> dict[str, int]:
    """The status of each path; empty for a port that speaks no HTTP."""
    answers = {path: answer[0] for path in HTTP_PATHS if (answer := http_answer(host, port, path)) is not None}
    return {path: status for path, status in answers.items() if status != http.client.NOT_FOUND}


def http_answer(host: str, port: int, path: str) -> tuple[int, bytes] | None:
    """Status and the start of the body; None for what speaks no HTTP."""
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(100)
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
