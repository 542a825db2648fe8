"""Which ports a running endpoint has open besides its own: what a firewall must close."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import sys
from pathlib import Path

_LISTEN = "0A"
_PROC = Path("/proc")


def listening_ports() -> list[tuple[str, int]]:
    """Address and port of every TCP socket that this process and its descendants listen on, as Linux's /proc tells;
    none elsewhere."""
    sockets = _listening_sockets()
    found = set()
    for pid in _family(os.getpid()):
        with contextlib.suppress(OSError):
            for descriptor in (_PROC / str(pid) / "fd").iterdir():
                with contextlib.suppress(OSError):
                    target = os.readlink(descriptor)
                    if target in sockets:
                        found.add(sockets[target])
    return sorted(found)


def _listening_sockets() -> dict[str, tuple[str, int]]:
    """Address and port by what a file descriptor of the socket links to."""
    sockets = {}
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (_PROC / "net" / name).read_text().splitlines()[1:]:
                _, local, _, state, *_ = fields = line.split()
                if state == _LISTEN:
                    address, _, port = local.partition(":")
                    sockets[f"socket:[{fields[9]}]"] = (_address(address), int(port, 16))
    return sockets


def _address(text: str) -> str:
    """An address as people write it, from the kernel's hexadecimal words."""
    words = (int(text[start : start + 8], 16).to_bytes(4, sys.byteorder) for start in range(0, len(text), 8))
    return str(ipaddress.ip_address(b"".join(words)))


def _family(root: int) -> set[int]:
    """`root` and all processes below it."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir() if _PROC.is_dir() else ():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, ValueError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, new = set[int](), [root]
    while new:
        pid = new.pop()
        found.add(pid)
        new += children.get(pid, [])
    return found
