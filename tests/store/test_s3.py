"""What S3 adds to the contract: faults on the way, permissions, credentials, and how a user hears of them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from fault_proxy import FAULTS, Choose, FaultProxy, in_turn
from s3_server import S3Server

from fmnist_ray.errors import AccessDeniedError, ChangedError, NotFoundError, SettingError, StoreError
from fmnist_ray.store import Store, open_store
from fmnist_ray.store.s3 import S3Store

Use = Callable[..., None]


@pytest.fixture
def faulty(ministack: S3Server, use_s3: Use) -> Iterator[Callable[[Choose], FaultProxy]]:
    """`faulty(choose)` puts a fault proxy between this process and the server."""
    with contextlib.ExitStack() as stack:

        def start(choose: Choose) -> FaultProxy:
            proxy = FaultProxy(ministack.endpoint, choose)
            stack.callback(proxy.close)
            use_s3(ministack, AWS_ENDPOINT_URL=proxy.endpoint)
            return proxy

        yield start


@pytest.fixture
def store(bucket: str) -> Store:
    return S3Store(f"{bucket}/root", retry_for_s=5)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_changes_no_answer(fault: str, store: Store, faulty: Callable[[Choose], FaultProxy]) -> None:
    data = bytes(range(256)) * 400
    store.put("there", data)
    etag = store.info("there").etag
    calls: dict[str, Callable[[], object]] = {
        "get": lambda: store.get("there") == data,
        "missing": lambda: _is_missing(store, "nowhere"),
        "info": lambda: store.info("there").size_bytes == len(data),
        "put": lambda: store.put("new", data) is None,
        "first": lambda: store.put_if_absent("prize", b"mine"),
        "late": lambda: not store.put_if_absent("there", b"late"),
        "list": lambda: [info.key for info in store.list()] == ["new", "prize", "there"],
    }
    if fault != "flip":  # a range has no checksum of the store; Parquet pages have their own
        calls["range"] = lambda: store.read_range("there", 100, 5000, etag=etag) == data[100:5100]
    proxy = faulty(lambda method, path: None)
    for name, call in calls.items():
        if fault not in ("truncate", "flip") or name in ("get", "range", "missing"):
            proxy.choose = in_turn([fault])
            proxy.made.clear()
        assert call(), name
        assert proxy.made[fault] >= 1, name
    assert store.get("prize") == b"mine"


def _is_missing(store: Store, key: str) -> bool:
    try:
        store.get(key)
    except NotFoundError:
        return True
    return False


def test_a_lost_answer_is_told_apart_from_a_lost_race(store: Store, faulty: Callable[[Choose], FaultProxy]) -> None:
    faulty(in_turn(["503_after"], "PUT"))
    assert store.put_if_absent("mine", b"attempt 1")
    faulty(in_turn(["503"], "PUT"))
    assert not store.put_if_absent("mine", b"attempt 2")
    assert store.get("mine") == b"attempt 1"


def test_a_store_without_conditional_writes_still_works(store: Store, faulty: Callable[[Choose], FaultProxy]) -> None:
    faulty(lambda method, path: None)
    store.put("there", b"old")
    faulty(in_turn(["501", None, "501"], "PUT"))
    assert store.put_if_absent("new", b"1")
    assert not store.put_if_absent("there", b"2")
    assert (store.get("new"), store.get("there")) == (b"1", b"old")


def test_an_outage_ends_within_the_budget_and_says_so(bucket: str, faulty: Callable[[Choose], FaultProxy]) -> None:
    proxy = faulty(lambda method, path: "503")
    started = time.monotonic()
    with pytest.raises(StoreError, match=r"answered 503.* for 2 s, in \d+ tries.*run the same command again") as caught:
        S3Store(bucket, retry_for_s=2).get("x")
    assert type(caught.value) is StoreError
    assert 0.9 < time.monotonic() - started < 4
    assert 4 <= proxy.num_requests <= 12


def test_an_outage_is_survived_when_it_ends_in_time(bucket: str, faulty: Callable[[Choose], FaultProxy]) -> None:
    proxy = faulty(lambda method, path: "reset")
    threading.Timer(1.0, lambda: setattr(proxy, "choose", lambda method, path: None)).start()
    store = S3Store(bucket, retry_for_s=20)
    store.put("x", b"1")
    assert store.get("x") == b"1"


@pytest.mark.parametrize("count", [29, 30, 31])
def test_a_listing_goes_on_past_a_page(store: Store, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr("fmnist_ray.store.s3._PAGE_KEYS", 10)
    names = [f"k/{number:05d}" for number in range(count)]
    for name in names:
        store.put(name, b"")
    assert [info.key for info in store.list("k/")] == names


def test_a_version_that_was_removed_is_a_change(store: Store) -> None:
    store.put("x", b"123")
    etag = store.info("x").etag
    assert store.read_range("x", 3, 5, etag=etag) == b""
    store.delete("x")
    with pytest.raises(ChangedError, match="replaced or removed"):
        store.read_range("x", 0, 1, etag=etag)


def test_a_missing_permission_is_named(ministack: S3Server, bucket: str, use_s3: Use) -> None:
    name = bucket.removeprefix("s3://")
    S3Store(bucket).put("in/x", b"1")
    reader = ministack.new_user(
        {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/in/*"},
    )
    use_s3(ministack, **reader)
    store = S3Store(bucket)
    assert store.get("in/x") == b"1"
    denied: dict[str, Callable[[], object]] = {
        "s3:PutObject": lambda: store.put("in/y", b""),
        "s3:GetObject": lambda: store.get("out/x"),
        "s3:ListBucket": lambda: list(store.list()),
        "s3:DeleteObject": lambda: store.delete("in/x"),
    }
    for permission, call in denied.items():
        with pytest.raises(AccessDeniedError, match=rf"No permission to \w+ {bucket}.*grant {permission}") as caught:
            call()
        assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"AWS_ACCESS_KEY_ID": "AKIANOBODY0000000000"}, "InvalidAccessKeyId"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "No usable AWS credentials.*AWS_PROFILE"),
    ],
)
def test_bad_credentials_are_told_at_once(
    ministack: S3Server, bucket: str, use_s3: Use, variables: dict[str, str], told: str
) -> None:
    use_s3(ministack, **variables)
    for name in [name for name, value in variables.items() if not value]:
        del os.environ[name]
    started = time.monotonic()
    with pytest.raises(AccessDeniedError, match=told) as caught:
        S3Store(bucket).get("x")
    assert "Signature=" not in str(caught.value)
    assert time.monotonic() - started < 5


def test_a_wrong_secret_is_told_without_what_was_signed(ministack: S3Server, bucket: str, use_s3: Use) -> None:
    anything = {"Action": "s3:*", "Resource": "*"}
    use_s3(ministack, **{**ministack.new_user(anything), "AWS_SECRET_ACCESS_KEY": "canary-secret"})
    with pytest.raises(AccessDeniedError, match="SignatureDoesNotMatch") as caught:
        S3Store(bucket).get("x")
    assert "canary" not in str(caught.value)
    assert "AWS4-HMAC" not in str(caught.value)


def test_wrong_places_are_told(ministack: S3Server, bucket: str, use_s3: Use) -> None:
    with pytest.raises(SettingError, match="There is no bucket no-such-bucket"):
        open_store("s3://no-such-bucket/x").put("y", b"")
    with pytest.raises(NotFoundError):
        open_store("s3://no-such-bucket/x").info("y")
    use_s3(ministack, AWS_ENDPOINT_URL="not a url")
    with pytest.raises(SettingError, match="--endpoint-url"):
        open_store(bucket).get("x")
    use_s3(ministack, AWS_ENDPOINT_URL="http://127.0.0.1:9")
    with pytest.raises(StoreError, match="Could not connect"):
        S3Store(bucket, retry_for_s=0.5).get("x")
    use_s3(ministack, AWS_PROFILE="nobody")
    with pytest.raises(SettingError, match="nobody"):
        open_store(bucket).get("x")
