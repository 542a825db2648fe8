"""A store on a local or shared disk."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from fmnist_ray.errors import AccessDeniedError, ChangedError, NotFoundError, SettingError, StoreError
from fmnist_ray.store.interface import ObjectInfo, check_size

STAGING_PREFIX = ".staging-"
"""Unfinished writes carry this name; listings leave them out."""


class LocalStore:
    """Files below `root`. A write goes to a staging file in the target folder, is synced, and gets its name in one
    step, so a reader sees the whole file or none, also after a power cut."""

    def __init__(self, root: str | Path) -> None:
        self._root = Path(root).absolute()

    @property
    def uri(self) -> str:
        return str(self._root)

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        with self._errors(key, "read"), self._path(key).open("rb") as file:
            check_size(str(self._path(key)), os.fstat(file.fileno()).st_size, max_bytes)
            return file.read()

    def info(self, key: str) -> ObjectInfo:
        with self._errors(key, "read"):
            if self._path(key).is_dir():
                raise IsADirectoryError
            return _object_info(key, self._path(key).stat())

    def read_range(self, key: str, start: int, length: int, *, etag: str) -> bytes:
        with self._errors(key, "read"), self._path(key).open("rb") as file:
            if _etag(os.fstat(file.fileno())) != etag:
                raise ChangedError(
                    f"{self._path(key)} was replaced while it was being read; run the command again to plan anew."
                )
            return os.pread(file.fileno(), length, start)

    def put(self, key: str, data: bytes) -> None:
        with self._errors(key, "write"):
            staged = self._stage(key, data)
            os.replace(staged, self._path(key))
            _sync_folder(staged.parent)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        with self._errors(key, "write"):
            if self._path(key).exists():
                return False
            staged = self._stage(key, data)
            try:
                os.link(staged, self._path(key))
            except FileExistsError:
                return False
            finally:
                staged.unlink()
            _sync_folder(staged.parent)
            return True

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        folder = prefix.rpartition("/")[0]
        with self._errors(prefix, "list"):
            for key in self._walk(f"{folder}/" if folder else ""):
                if key.startswith(prefix):
                    with contextlib.suppress(FileNotFoundError):
                        path = self._path(key)
                        if path.is_file():
                            yield _object_info(key, path.stat())

    def _walk(self, below: str) -> Iterator[str]:
        """Keys in the order of the keys, with the names of one folder at a time in memory."""
        try:
            with os.scandir(self._root / below) as entries:
                names = [entry.name + "/" * entry.is_dir(follow_symlinks=False) for entry in entries]
        except (FileNotFoundError, NotADirectoryError):
            return
        for name in sorted(name for name in names if not name.startswith(STAGING_PREFIX)):
            if name.endswith("/"):
                yield from self._walk(below + name)
            else:
                yield below + name

    def delete(self, key: str) -> None:
        with self._errors(key, "delete"):
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._root / key

    def _stage(self, key: str, data: bytes) -> Path:
        folder = self._path(key).parent
        folder.mkdir(parents=True, exist_ok=True)
        staged = folder / f"{STAGING_PREFIX}{uuid.uuid4().hex}"
        try:
            with staged.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:  # also on Ctrl-C, no staging file stays
            staged.unlink(missing_ok=True)
            raise
        return staged

    @contextlib.contextmanager
    def _errors(self, key: str, action: str) -> Iterator[None]:
        """Turn the operating system's errors into the store's."""
        path = self._path(key)
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, FileExistsError) as error:
            if action == "write":
                raise SettingError(f"{path} can't be written: a part of it is a file; name another place.") from error
            raise NotFoundError(f"{path} does not exist, or is not a file.") from error
        except PermissionError as error:
            raise AccessDeniedError(f"No permission to {action} {path}: grant it, or name another place.") from error
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG and action != "write":
                raise NotFoundError(f"{path} does not exist: no file has so long a name.") from error
            raise StoreError(f"Could not {action} {path}: {error.strerror or error}.") from error


def _etag(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def _object_info(key: str, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(key=key, size_bytes=status.st_size, etag=_etag(status), modified_s=status.st_mtime)


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable; some file systems refuse this on folders, which is fine."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
