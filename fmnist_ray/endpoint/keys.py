"""Bearer keys: who may ask. A file holds their hashes, so that reading it gives nobody a key.

One key a line: name, role, sha256 of the key in hex. A key is 256 random bits, so a plain hash can't be guessed back.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fmnist_ray.errors import InputError

Role = Literal["classify", "admin"]
_LINE = re.compile(r"([A-Za-z0-9._-]{1,64}) (classify|admin) ([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Keys:
    """Hashed keys by role."""

    classify: tuple[bytes, ...]
    admin: tuple[bytes, ...]

    def allows(self, authorization: str | None, role: Role) -> bool:
        """Whether the header `Authorization: Bearer KEY` holds a key of `role`; an admin's key classifies too.

        Every hash is compared, each in constant time, so the time taken tells nothing.
        """
        scheme, _, key = (authorization or "").partition(" ")
        given = hashlib.sha256(key.strip().encode("utf-8", "surrogateescape")).digest()
        allowed = self.admin if role == "admin" else (*self.admin, *self.classify)
        return sum(hmac.compare_digest(given, known) for known in allowed) > 0 and scheme.lower() == "bearer"


def read_keys(path: str) -> Keys:
    """The keys of a file; `InputError` where it can't be read or a line is not a key's."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The keys in {path} can't be read ({error}): make one with --new-key NAME.") from error
    keys = parse_keys(lines, path)
    if not keys.classify and not keys.admin:
        raise InputError(f"{path} has no keys: make one with --new-key NAME.")
    return keys


def parse_keys(lines: Iterable[str], place: str) -> Keys:
    """Keys from lines of a keys file; blank lines and lines that start with # don't count."""
    found: dict[str, list[bytes]] = {"classify": [], "admin": []}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise InputError(f"Line {number} of {place} is no key; it must be NAME classify|admin SHA256.")
        found[match[2]].append(bytes.fromhex(match[3]))
    return Keys(tuple(found["classify"]), tuple(found["admin"]))


def add_key(path: str, name: str, role: Role) -> str:
    """Make a key, add its hash to the file, which only its owner may read, and return the key: nobody can again."""
    key = secrets.token_urlsafe(32)
    line = f"{name} {role} {hashlib.sha256(key.encode()).hexdigest()}"
    if _LINE.fullmatch(line) is None:
        raise InputError(f"A key can't be named {name!r}: up to 64 letters, digits, '.', '_' and '-'.")
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "a", encoding="utf-8") as file:
        file.write(line + "\n")
    return key
