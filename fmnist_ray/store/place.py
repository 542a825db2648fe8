"""From the place a user names to a store."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fmnist_ray.errors import SettingError
from fmnist_ray.store.interface import Source, Store
from fmnist_ray.store.local import LocalStore

_BUCKET_ROOT = re.compile(r"s3://[^/]*/?")


def _open_local(uri: str) -> Store:
    return LocalStore(Path(uri).expanduser())


def _open_file_uri(uri: str) -> Store:
    return LocalStore(unquote(urlsplit(uri).path))


def _open_s3(uri: str) -> Store:
    from fmnist_ray.store.s3 import S3Store  # boto3 takes a third of a second, and most runs do without

    return S3Store(uri)


_OPENERS: dict[str, Callable[[str], Store]] = {"": _open_local, "file": _open_file_uri, "s3": _open_s3}

ENVIRONMENT = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION")
"""Variables that say where stores are. What starts processes on other machines hands them on; credentials it does not:
each machine has its own."""


def open_store(uri: str) -> Store:
    """The store rooted at `uri`: a path, `file://` or `s3://`. Nothing is touched yet; `SettingError` for any other."""
    scheme, separator, _ = uri.partition("://")
    opener = _OPENERS.get(scheme if separator else "")
    if opener is None:
        allowed = ", ".join(f"{name}://" for name in _OPENERS if name)
        raise SettingError(f"{uri} starts with {scheme}://; allowed are a path or {allowed}.")
    return opener(uri)


def open_source(uri: str) -> Source:
    """What may be read below `uri`: a store, or images on a web server, `https://` or `http://`."""
    if uri.startswith(("https://", "http://")):
        from fmnist_ray.store.web import WebImages

        return WebImages(uri)
    return open_store(uri)


def split_uri(uri: str) -> tuple[str, str]:
    """Folder and name of the object that `uri` names, so that `open_store(folder)` can read `name`. A bucket is a
    folder; its name is empty."""
    if _BUCKET_ROOT.fullmatch(uri):
        return uri.rstrip("/"), ""
    folder, separator, name = uri.rstrip("/").rpartition("/")
    if not separator:
        return ".", name
    return folder or "/", name
