"""Where Fashion-MNIST can be had, in the order in which the places are tried."""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fmnist_ray.datasets.files import FILES
from fmnist_ray.errors import SourceError

MIRRORS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
    "https://fashion-mnist.s3.eu-central-1.amazonaws.com",
)
"""The data set's own repository and bucket. Its page links the bucket's http address; this is the same over HTTPS."""

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
DEBIAN_PACKAGE = "dataset-fashion-mnist"

_MAX_DOWNLOAD_BYTES = 64 << 20
"""More than twice the largest file: what is longer is something else."""


class Source(Protocol):
    """A place that may have the four files."""

    @property
    def name(self) -> str:
        """How messages call it."""

    @property
    def lasting(self) -> bool:
        """Whether the files may be used where they are, or have to be copied into the cache."""

    def obtain(self, staging: Path) -> Path:
        """The folder that holds the files, which may be `staging`, an empty folder. Raises `SourceError`.

        Whether they are the right ones is for the caller to check."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of this machine."""

    name: str
    path: Path
    lasting: bool = True

    def obtain(self, staging: Path) -> Path:
        if not self.path.is_dir():
            raise SourceError("there is no such folder.")
        return self.path


@dataclass(frozen=True, slots=True)
class Mirror:
    """A web folder."""

    url: str
    timeout_s: float = 10.0
    """For the connection, and for each read."""
    lasting: bool = False

    @property
    def name(self) -> str:
        return self.url

    def obtain(self, staging: Path) -> Path:
        for file in FILES:
            self._download(file.gz_name, staging / file.gz_name)
        return staging

    def _download(self, name: str, target: Path) -> None:
        try:
            with (
                urllib.request.urlopen(f"{self.url}/{name}", timeout=self.timeout_s) as answer,
                target.open("wb") as out,
            ):
                while block := answer.read(1 << 20):
                    out.write(block)
                    if out.tell() > _MAX_DOWNLOAD_BYTES:
                        raise SourceError(f"{name} is longer than {_MAX_DOWNLOAD_BYTES} bytes.")
        except urllib.error.URLError as error:
            raise SourceError(f"{name} can't be downloaded ({error.reason}).") from error
        except (OSError, ValueError) as error:
            raise SourceError(f"{name} can't be downloaded ({error}).") from error


@dataclass(frozen=True, slots=True)
class DebianPackage:
    """The package in Debian's and Ubuntu's archives, unpacked without being installed: this needs no root, and apt
    checks the archive's signature."""

    name: str = f"apt's package {DEBIAN_PACKAGE}"
    timeout_s: float = 300.0
    """For each command."""
    lasting: bool = False

    def obtain(self, staging: Path) -> Path:
        if missing := [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]:
            raise SourceError(f"this machine has no {missing[0]}.")
        try:
            self._run(["apt-get", "-q", "download", DEBIAN_PACKAGE], staging)
        except SourceError:
            # The machine's package lists are empty or stale: fetch own ones, and leave the machine's alone.
            own_lists = self._own_lists(staging / "apt")
            self._run(["apt-get", "-q", *own_lists, "update"], staging)
            self._run(["apt-get", "-q", *own_lists, "download", DEBIAN_PACKAGE], staging)
        packages = sorted(staging.glob("*.deb"))
        if not packages:
            raise SourceError("apt-get downloaded no package.")
        self._run(["dpkg-deb", "-x", str(packages[0]), str(staging)], staging)
        return staging / DEBIAN_FOLDER.relative_to("/")

    def _own_lists(self, folder: Path) -> list[str]:
        (folder / "lists" / "partial").mkdir(parents=True)
        (folder / "cache" / "archives" / "partial").mkdir(parents=True)
        return [
            *("-o", f"Dir::State::Lists={folder / 'lists'}"),
            *("-o", f"Dir::Cache={folder / 'cache'}"),
            # Started by root, apt would hand the download to a user who can't enter our folder.
            *("-o", "APT::Sandbox::User=root"),
        ]

    def _run(self, command: Sequence[str], folder: Path) -> None:
        environment = {**os.environ, "LC_ALL": "C"}
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SourceError(f"{' '.join(command[:2])} took longer than {self.timeout_s:.0f} s.") from error
        except OSError as error:
            raise SourceError(f"{command[0]} can't be started ({error.strerror}).") from error
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()
            reason = said[-1].removeprefix("E:").strip() if said else f"exit code {done.returncode}"
            raise SourceError(f"{command[0]} failed: {reason}")


def default_sources(cache: Path) -> tuple[Source, ...]:
    """From the nearest to the farthest."""
    return (
        Folder(f"the cache {cache}", cache),
        Folder(f"Debian's installed {DEBIAN_PACKAGE} ({DEBIAN_FOLDER})", DEBIAN_FOLDER),
        *(Mirror(url) for url in MIRRORS),
        DebianPackage(),
    )
