"""From the place a user names to a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fmnist_ray.errors import SettingError
from fmnist_ray.store.interface import Store
from fmnist_ray.store.local import LocalStore


def _open_local(uri: str) -> Store:
    return LocalStore(Path(uri).expanduser())


def _open_file_uri(uri: str) -> Store:
    return LocalStore(unquote(urlsplit(uri).path))


_OPENERS: dict[str, Callable[[str], Store]] = {"": _open_local, "file": _open_file_uri}


def open_store(uri: str) -> Store:
    """The store rooted at `uri`: a path, or `file://`. Nothing is touched yet; `SettingError` for other schemes."""
    scheme, separator, _ = uri.partition("://")
    opener = _OPENERS.get(scheme if separator else "")
    if opener is None:
        allowed = ", ".join(f"{name}://" for name in _OPENERS if name)
        raise SettingError(f"{uri} starts with {scheme}://; allowed are a path or {allowed}.")
    return opener(uri)


def split_uri(uri: str) -> tuple[str, str]:
    """Folder and name of the object that `uri` names, so that `open_store(folder)` can read `name`."""
    folder, separator, name = uri.rstrip("/").rpartition("/")
    if not separator:
        return ".", name
    return folder or "/", name
