"""JSON logs: every line a JSON object with the ids of what it is about, and never a credential."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from fmnist_ray import open_results
from fmnist_ray.cli.logs import redact
from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.flows.classify import classify

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "FwoGZXIvYXdzEXAMPLETOKEN==",
    "RAY_AUTH_TOKEN": "0123456789abcdef0123456789abcdef",
    "FMNIST_RAY_WEBHOOK": "https://hooks.example.com/services/T0/B0/secret",
}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("key AKIAIOSFODNN7EXAMPLE was refused", "key [hidden] was refused"),
        ("GET /a?X-Amz-Signature=0f3a&X-Amz-Date=2026", "GET /a?X-Amz-Signature=[hidden]&X-Amz-Date=2026"),
        ("Authorization: Bearer abc.def-1", "Authorization: Bearer [hidden]"),
        ("{'authorization': 'Basic dXNlcjpwYXNz'}", "{'authorization': 'Basic [hidden]'}"),
        ("SignedHeaders=host, Signature=fe5f80f77d5fa3beca038a248ff027d0", "SignedHeaders=host, Signature=[hidden]"),
        ("https://user:hunter22@example.com/x", "https://[hidden]@example.com/x"),
        ("s3://shop/catalogue has 12 rows at 10:30", "s3://shop/catalogue has 12 rows at 10:30"),
    ],
)
def test_what_looks_like_a_credential_is_hidden_and_nothing_else(text: str, left: str) -> None:
    assert redact(text) == left


def test_short_values_of_the_environment_are_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    assert redact("a test of the latest") == "a test of the latest"


@pytest.mark.parametrize("mode", ["json", "text"])
def test_a_failing_command_says_no_credential_at_its_loudest(tmp_path: Path, mode: str) -> None:
    wrong = ["--id-column", "-".join(SECRETS.values())]  # what the message repeats
    done = subprocess.run(
        [sys.executable, "-m", "fmnist_ray", "classify", str(sample_catalogue_path()), *wrong]
        + ["--out", "out", "--verbose", "--json"],
        cwd=tmp_path, env={**os.environ, **SECRETS, "FMNIST_RAY_LOG": mode},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    for secret in SECRETS.values():
        assert secret not in done.stdout + done.stderr
    assert "[hidden]" in json.loads(done.stdout)["error"]
    if mode == "json":
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        assert [(line["level"], line["kind"], line["exit_code"]) for line in lines] == [("error", "CatalogueError", 2)]
        assert "has no column '[hidden]-[hidden]" in lines[0]["message"]
        assert "Traceback" in lines[0]["traceback"]
    else:
        assert "has no column '[hidden]-[hidden]" in done.stderr.splitlines()[-1]


def test_shards_are_logged_with_run_shard_and_attempt(
    tmp_path: Path, tiny_bundle: Path, in_process: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings = ClassifySettings(
        catalogue_uri=str(sample_catalogue_path()),
        out_uri=str(tmp_path / "out"),
        bundle=str(tiny_bundle),
        shard_rows=500,
    )
    killed = {"left": 1}

    def kills(shard: str, _: Any) -> bool:
        killed["left"] -= 1
        return killed["left"] == 0

    with caplog.at_level(logging.INFO, logger="fmnist_ray"):
        summary = classify(settings, lambda: nullcontext(in_process(kills=kills)))
    records: list[Any] = [record for record in caplog.records if hasattr(record, "run")]
    assert {record.run for record in records} == {summary.plan_id}
    assert [record.message for record in records].count("shard is done") == 2
    assert [record.message for record in records].count("attempt failed") == 1
    assert records[-1].message == "run is committed"
    names = {(record.shard, record.attempt) for record in records if record.message == "shard is done"}
    files = open_results(str(tmp_path / "out")).commit.files
    assert names == {tuple(file.key.rpartition("/")[2].split(".")[0].rsplit("-", 1)) for file in files}
