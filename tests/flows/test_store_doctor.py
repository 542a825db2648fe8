"""The store doctor, on good stores and on stores with the faults of real servers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from s3_server import S3Server

from fmnist_ray.errors import AccessDeniedError, SettingError
from fmnist_ray.flows import store_doctor
from fmnist_ray.flows.store_doctor import examine_store
from fmnist_ray.store import ObjectInfo
from fmnist_ray.store.memory import MemoryStore

Use = Callable[..., None]


def verdicts(uri: str) -> dict[str, str]:
    return {finding.probe: finding.verdict for finding in examine_store(uri).findings}


GOOD = dict.fromkeys(
    ("read after write", "conditional writes", "ranges", "pinned versions", "large objects", "clock", "deletion"), "ok"
)


def test_a_folder_is_fine_and_left_as_it_was(tmp_path: Path) -> None:
    assert verdicts(str(tmp_path)) == GOOD
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_bucket_is_fine_and_a_role_without_deletion_is_told(bucket: str, ministack: S3Server, use_s3: Use) -> None:
    assert verdicts(f"{bucket}/x") == GOOD
    arn = f"arn:aws:s3:::{bucket.removeprefix('s3://')}"
    allowed = {"Action": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"], "Resource": [arn, f"{arn}/*"]}
    use_s3(ministack, **ministack.new_user(allowed))
    assert verdicts(bucket) == GOOD | {"deletion": "warning"}
    use_s3(ministack, **ministack.new_user({"Action": "s3:GetObject", "Resource": f"{arn}/*"}))
    with pytest.raises(AccessDeniedError, match="s3:PutObject"):
        examine_store(bucket)
    with pytest.raises(SettingError, match="no S3 bucket"):
        examine_store("s3://")


class LastWriteWins(MemoryStore):
    """Ignores conditions, as rclone's server does."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        self.put(key, data)
        return True


class Stale(MemoryStore):
    """Lists what was there a moment ago."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return iter(list(super().list(prefix))[:-1])


class WrongRanges(MemoryStore):
    """Answers a range with the whole object, of whatever version."""

    def read_range(self, key: str, start: int, length: int, *, etag: str) -> bytes:
        return self.get(key)


class Late(MemoryStore):
    """Its clock is an hour ahead."""

    def put(self, key: str, data: bytes) -> None:
        self._objects[key] = (data, time.time() + 3600)


@pytest.mark.parametrize(
    ("store", "odd"),
    [
        (LastWriteWins(), {"conditional writes": "warning"}),
        (Stale(), {"read after write": "failed"}),
        (WrongRanges(), {"ranges": "failed", "pinned versions": "warning"}),
        (Late(), {"clock": "warning"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_store_does_not_honour_is_told(
    store: MemoryStore, odd: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_doctor, "open_store", lambda uri: store)
    diagnosis = examine_store("memory://x")
    assert {finding.probe: finding.verdict for finding in diagnosis.findings} == GOOD | odd
    assert diagnosis.usable == ("failed" not in odd.values())
