"""The command on S3 with a real Ray: a photo that ends its worker costs only itself; no secret is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s3_server import S3Server

from fmnist_ray import open_results
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.flows.verify import verify_run
from fmnist_ray.store import open_store

DEADLY = b"\x89PNG ends whoever decodes it"
NUM_ROWS, DEADLY_ROW = 40, 17

SITE = f"""
import os, sys
from importlib.abc import MetaPathFinder

class Finder(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "fmnist_ray.images.prepare":
            sys.meta_path.remove(self)
            import fmnist_ray.images.decode as module
            decode = module.decode_image
            def deadly(data, *arguments, **options):
                if data == {DEADLY!r}:
                    os.kill(os.getpid(), 9)
                return decode(data, *arguments, **options)
            module.decode_image = deadly
        return None

sys.meta_path.insert(0, Finder())
"""
"""Stands in for a bug in a codec."""


class Watcher(threading.Thread):
    """Looks for a text in all files that the command's Ray has at any time: logs, state, environment."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__(daemon=True)
        self._texts = [text.encode() for text in texts]
        self._stopped = threading.Event()
        self.found: set[str] = set()
        self.num_files = 0

    def run(self) -> None:
        while not self._stopped.wait(1.0):
            paths = [path for path in Path("/tmp").glob("fmnist-ray-*/**/*") if path.is_file()]
            self.num_files = max(self.num_files, len(paths))
            for path in paths:
                try:
                    data = path.read_bytes()
                except OSError:
                    continue
                self.found.update(str(path) for text in self._texts if text in data)

    def stop(self) -> None:
        self._stopped.set()
        self.join(30)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_deadly_photo_and_secrets(
    bucket: str, ministack: S3Server, use_s3: Callable[..., None], tmp_path: Path
) -> None:
    cells = pq.read_table(sample_catalogue_path()).column("image").to_pylist()[:NUM_ROWS]
    cells[DEADLY_ROW] = DEADLY
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table({"image": pa.array(cells, pa.binary())}), buffer)
    open_store(bucket).put("catalogue/part.parquet", bytes(buffer.getvalue()))
    (tmp_path / "sitecustomize.py").write_text(SITE)
    arn = f"arn:aws:s3:::{bucket.removeprefix('s3://')}"
    user = ministack.new_user(
        {"Action": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"], "Resource": [arn, f"{arn}/*"]}
    )
    environment = {**os.environ, **user, "PYTHONPATH": str(tmp_path)}
    environment.pop("AWS_ENDPOINT_URL")
    arguments = [
        "classify",
        f"{bucket}/catalogue",
        "--out",
        f"{bucket}/out",
        "--shard-rows",
        "8",
        "--verbose",
        "--json",
    ]
    command = [sys.executable, "-m", "fmnist_ray", "--endpoint-url", ministack.endpoint, *arguments]
    secrets = [user["AWS_SECRET_ACCESS_KEY"], user["AWS_ACCESS_KEY_ID"]]
    watcher = Watcher(secrets)
    watcher.start()

    def run(**variables: str) -> tuple[int, dict[str, Any], str]:
        done = subprocess.run(
            command, env={**environment, **variables}, capture_output=True, text=True, timeout=400, check=False
        )
        return done.returncode, json.loads(done.stdout), done.stdout + done.stderr

    code, answer, told_denied = run(AWS_SECRET_ACCESS_KEY="wrong" + secrets[0])
    assert (code, answer["kind"]) == (4, "AccessDeniedError")
    code, answer, told = run()
    assert code == 0, told
    watcher.stop()
    assert answer["rejects_by_reason"] == {"worker_died": 1}
    assert open_results(f"{bucket}/out").rejects().column("input_row").to_pylist() == [DEADLY_ROW]
    assert verify_run(f"{bucket}/out").num_rows == NUM_ROWS
    assert watcher.num_files > 10
    assert watcher.found == set()
    written = b"".join(open_store(bucket).get(info.key) for info in open_store(bucket).list())
    for secret in secrets:
        assert secret not in told_denied + told
        assert secret.encode() not in written
