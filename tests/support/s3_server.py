"""Real S3 servers for tests, each a process of its own that listens on this machine only, by default on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3

ADMIN = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


class S3Server:
    """An S3 server in a process of its own, on this machine only."""

    def __init__(self, port: int, host: str) -> None:
        self.endpoint = f"http://{host}:{port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to use it, and nothing of the user's own."""
        none = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        return {"AWS_ENDPOINT_URL": self.endpoint, "AWS_EC2_METADATA_DISABLED": "true", **none, **ADMIN}

    def client(self, service: str = "s3") -> Any:
        """boto3, as the administrator."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=ADMIN["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ADMIN["AWS_SECRET_ACCESS_KEY"],
        )

    def new_bucket(self) -> str:
        """Name of a bucket that nobody else uses."""
        bucket = f"bucket-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=bucket)
        return bucket

    def new_user(self, *statements: Mapping[str, Any]) -> dict[str, str]:
        """Credentials, as environment variables, of a user who may do what the policy statements say (MiniStack)."""
        iam, name = self.client("iam"), f"user-{uuid.uuid4().hex[:12]}"
        iam.create_user(UserName=name)
        allowed = [{"Effect": "Allow", **statement} for statement in statements]
        policy = json.dumps({"Version": "2012-10-17", "Statement": allowed})
        iam.put_user_policy(UserName=name, PolicyName="only-this", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


@contextlib.contextmanager
def run_ministack(folder: Path, host: str = "127.0.0.1") -> Iterator[S3Server]:
    """MiniStack, which enforces credentials and policies, listening at `host` only."""
    settings = {"SERVICES": "s3,sts,iam", "AUTH": "true", "S3_DATA_DIR": str(folder / "data"), "LOG_LEVEL": "WARNING"}
    with _run(lambda port: ["-m", "ministack"], folder / "log", host, **settings) as server:
        yield server


@contextlib.contextmanager
def run_moto(folder: Path) -> Iterator[S3Server]:
    """moto's server: a second implementation of S3. It lets everybody do everything."""
    script = "import sys; from moto.server import main; main(sys.argv[1:])"
    with _run(lambda port: ["-c", script, "-H", "127.0.0.1", "-p", str(port)], folder / "log", "127.0.0.1") as server:
        yield server


@contextlib.contextmanager
def _run(arguments: Callable[[int], list[str]], log: Path, host: str, **environment: str) -> Iterator[S3Server]:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    variables = {**os.environ, "BIND_HOST": host, "GATEWAY_PORT": str(port), **environment}
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, *arguments(port)], env=variables, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 30
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                socket.create_connection((host, port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield S3Server(port, host)
    finally:
        process.kill()
        process.wait()
