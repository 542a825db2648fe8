"""A store on S3, or on a server that speaks its language."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from urllib3.exceptions import HTTPError

from fmnist_ray.errors import ChangedError, NotFoundError, SettingError, StoreError
from fmnist_ray.store.interface import ObjectInfo, check_size
from fmnist_ray.store.retry import RETRY_FOR_S, with_retries
from fmnist_ray.store.s3_errors import status_of, translated

_CONNECT_TIMEOUT_S = 5
_READ_TIMEOUT_S = 30
"""Seconds without a byte. A slow answer is fine as long as it moves."""
_CONNECTIONS = 32
_PAGE_KEYS = 1000
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_NO_CONDITIONAL_WRITES = 501
_STARTING = threading.Lock()
_TALKATIVE = ("boto3", "botocore", "s3transfer", "urllib3")

T = TypeVar("T")


class S3Store:
    """Objects below `s3://bucket/prefix`.

    Credentials, region and endpoint come from the environment, as for the `aws` command. botocore is told not to retry:
    it can't repeat a body that breaks off, so request and body are tried again together, within `retry_for_s` seconds.
    What is written carries a checksum, which S3 checks, and which is checked when the object is read back whole.
    """

    def __init__(self, uri: str, *, retry_for_s: float = RETRY_FOR_S) -> None:
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        if not _BUCKET.fullmatch(bucket):
            raise SettingError(f"{uri} names no S3 bucket; it must look like s3://bucket/prefix.")
        prefix = prefix.strip("/")
        self._bucket = bucket
        self._root = f"{prefix}/" if prefix else ""
        self._retry_for_s = retry_for_s
        self.uri = f"s3://{bucket}/{prefix}".rstrip("/")

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        def read(client: Any, number: int) -> bytes:
            answer = client.get_object(**self._name(key))
            with contextlib.closing(answer["Body"]) as body:
                check_size(f"{self.uri}/{key}", answer["ContentLength"], max_bytes)
                data: bytes = body.read()
                return data

        return self._call("read", key, read)

    def info(self, key: str) -> ObjectInfo:
        if not key or key.endswith("/"):
            raise NotFoundError(f"{self.uri}/{key} is no object.")
        found = self._call("read", key, lambda client, number: client.head_object(**self._name(key)))
        return _object_info(key, found["ContentLength"], found)

    def read_range(self, key: str, start: int, length: int, *, etag: str) -> bytes:
        def read(client: Any, number: int) -> bytes:
            wanted = {"Range": f"bytes={start}-{start + length - 1}", "IfMatch": f'"{etag}"'}
            try:
                answer = client.get_object(**self._name(key), **wanted)
            except ClientError as error:
                if status_of(error) == 416:
                    return b""
                if status_of(error) in (404, 412):
                    raise ChangedError(
                        f"{self.uri}/{key} was replaced or removed while it was being read; run the command again to "
                        "plan anew."
                    ) from error
                raise
            if not answer.get("ContentRange", "").startswith(f"bytes {start}-"):
                raise StoreError(f"{self.uri}/{key}: the store ignores ranges; fmnist-ray needs them.")
            body: bytes = answer["Body"].read()
            return body

        return self._call("read", key, read) if length else b""

    def put(self, key: str, data: bytes) -> None:
        self._call("write", key, lambda client, number: client.put_object(**self._name(key), Body=data))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        def write(client: Any, number: int) -> bool:
            try:
                client.put_object(**self._name(key), Body=data, IfNoneMatch="*")
            except ClientError as error:
                if status_of(error) == 412:
                    # After a try whose answer was lost, the object that is there may be our own.
                    return number > 0 and self.get(key) == data
                if status_of(error) == _NO_CONDITIONAL_WRITES:
                    return self._put_unless_seen(key, data)
                raise
            return True

        return self._call("write", key, write)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        after: dict[str, str] = {}
        while True:
            page = self._call("list", prefix, functools.partial(self._page, prefix, after))
            for item in page.get("Contents", ()):
                key = item["Key"].removeprefix(self._root)
                if not key.endswith("/"):  # what consoles leave behind for an empty folder
                    yield _object_info(key, item["Size"], item)
            if not page.get("IsTruncated"):
                return
            after = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, key: str) -> None:
        self._call("delete", key, lambda client, number: client.delete_object(**self._name(key)))

    def _page(self, prefix: str, after: dict[str, str], client: Any, number: int) -> dict[str, Any]:
        page: dict[str, Any] = client.list_objects_v2(
            Bucket=self._bucket, Prefix=self._root + prefix, MaxKeys=_PAGE_KEYS, **after
        )
        return page

    def _put_unless_seen(self, key: str, data: bytes) -> bool:
        """For a server without conditional writes: two writers at once may both win, which only costs work."""
        try:
            self.info(key)
        except NotFoundError:
            self.put(key, data)
            return True
        return False

    def _name(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._root + key}

    def _call(self, action: str, key: str, work: Callable[[Any, int], T]) -> T:
        """Run `work` with a client and the number of the try, with botocore's errors turned into the store's. urllib3's
        own error comes through botocore when a connection breaks within the body of a refusal."""
        uri = f"{self.uri}/{key}".rstrip("/")

        def attempt(number: int) -> T:
            try:
                return work(_client(), number)
            except (BotoCoreError, ClientError, HTTPClientError, HTTPError) as error:
                raise translated(error, action, uri, self._bucket) from error

        return with_retries(attempt, budget_s=self._retry_for_s)


def _client() -> Any:
    """One client per process: threads may share it, and each costs a third of a second."""
    with _STARTING:
        return _new_client()


def close_client() -> None:
    """Let the next call begin anew, with the environment as it is then."""
    with _STARTING:
        if _new_client.cache_info().currsize:
            _new_client().close()
            _new_client.cache_clear()


@functools.cache
def _new_client() -> Any:
    for name in _TALKATIVE:  # at DEBUG they log what signs a request
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.getEffectiveLevel(), logging.INFO))
    config = Config(
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_READ_TIMEOUT_S,
        max_pool_connections=_CONNECTIONS,
        retries={"total_max_attempts": 1},
    )
    try:
        # AWS sets AWS_REGION on its machines, boto3 reads AWS_DEFAULT_REGION.
        session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
        return session.client("s3", region_name=session.region_name or "us-east-1", config=config)
    except ValueError as error:
        raise SettingError(f"S3 can't be used: {error}; correct AWS_ENDPOINT_URL or --endpoint-url.") from error


def _object_info(key: str, size_bytes: int, found: dict[str, Any]) -> ObjectInfo:
    modified_s = found["LastModified"].timestamp()
    return ObjectInfo(key=key, size_bytes=size_bytes, etag=found["ETag"].strip('"'), modified_s=modified_s)
