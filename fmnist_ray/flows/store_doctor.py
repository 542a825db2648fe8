"""What a store honours of what a run relies on, found out by trying."""

from __future__ import annotations

import os
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Literal

from fmnist_ray.errors import AccessDeniedError, ChangedError, NotFoundError, StoreError
from fmnist_ray.store import Store, open_store

Verdict = Literal["ok", "warning", "failed"]

_RACERS = 16
_RACES = 10
_WRITES = 20
_LARGE_BYTES = 32 << 20
_MAX_SKEW_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was tried."""

    probe: str
    verdict: Verdict
    """`ok`; `warning`: a run is right, but slower or harder to look after; `failed`: a run can't rely on this store."""
    found: str
    """What was seen, and what it means for a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Everything that was tried."""

    uri: str
    usable: bool
    findings: list[Finding]


def examine_store(uri: str) -> Diagnosis:
    """Try everything below a new prefix of `uri`, and remove it again. Raises where not even one object can be written
    and read."""
    store = open_store(f"{open_store(uri).uri}/.fmnist-ray-doctor-{uuid.uuid4().hex[:12]}")
    store.put("first", b"1")
    store.get("first")
    findings = [finding for probe in _PROBES for finding in _tried(probe, store)]
    findings.append(_cleanup(store))
    return Diagnosis(uri=uri, usable=all(finding.verdict != "failed" for finding in findings), findings=findings)


def _tried(probe: Callable[[Store], Iterator[Finding]], store: Store) -> Iterator[Finding]:
    try:
        yield from probe(store)
    except StoreError as error:
        yield Finding(probe=probe.__name__.strip("_").replace("_", " "), verdict="failed", found=error.message)


def _what_was_written_is_seen(store: Store) -> Iterator[Finding]:
    stale, seconds = 0, []
    for number in range(_WRITES):
        data = b"%d" % number
        started = time.perf_counter()
        store.put("again", data)
        stale += store.get("again") != data
        seconds.append(time.perf_counter() - started)
        store.put(f"listed/{number:03d}", data)
        stale += len(list(store.list("listed/"))) != number + 1
    pair = f"a write and its reading take {statistics.median(seconds) * 1e3:.0f} ms"
    if stale:
        found = f"{stale} of {2 * _WRITES} reads or listings were older than the last write: receipts would be missed."
        yield Finding(probe="read after write", verdict="failed", found=found)
    else:
        yield Finding(probe="read after write", verdict="ok", found=f"at once, {_WRITES} times; {pair}")


def _conditional_writes(store: Store) -> Iterator[Finding]:
    winners = [_race(store, f"race/{number}") for number in range(_RACES)]
    if all(count == 1 for count in winners):
        found = f"of {_RACERS} writers at once exactly one won, {_RACES} times: no shard is written twice in vain"
        yield Finding(probe="conditional writes", verdict="ok", found=found)
    elif 0 in winners:
        found = "of several writers at once none won: the commit could fail though nobody else made it."
        yield Finding(probe="conditional writes", verdict="failed", found=found)
    else:
        found = (
            f"not honoured: up to {max(winners)} of {_RACERS} writers won at once. A run stays exactly-once; two "
            "drivers may do the same work. Do not start two runs with different plans into one place at the same time."
        )
        yield Finding(probe="conditional writes", verdict="warning", found=found)


def _race(store: Store, key: str) -> int:
    """How many of the racers were told that they wrote the object."""
    gate = Barrier(_RACERS)

    def write(number: int) -> bool:
        gate.wait()
        return store.put_if_absent(key, b"%d" % number)

    with ThreadPoolExecutor(_RACERS) as pool:
        return sum(pool.map(write, range(_RACERS)))


def _ranges_and_versions(store: Store) -> Iterator[Finding]:
    store.put("range", b"0123456789")
    etag = store.info("range").etag
    if [store.read_range("range", start, 4, etag=etag) for start in (3, 8)] == [b"3456", b"89"]:
        yield Finding(probe="ranges", verdict="ok", found="Parquet is read in parts")
    else:
        yield Finding(probe="ranges", verdict="failed", found="other bytes than asked for: Parquet can't be read.")
    store.put("range", b"replaced!!")
    try:
        store.read_range("range", 0, 1, etag=etag)
    except ChangedError:
        yield Finding(probe="pinned versions", verdict="ok", found="an input that is replaced during a run stops it")
    else:
        found = "a version that is gone is still read: a catalogue must not be changed while a run reads it."
        yield Finding(probe="pinned versions", verdict="warning", found=found)


def _large_objects(store: Store) -> Iterator[Finding]:
    data = os.urandom(_LARGE_BYTES)
    started = time.perf_counter()
    store.put("large", data)
    written = time.perf_counter()
    same = store.get("large") == data
    read = time.perf_counter()
    up, down = (_LARGE_BYTES / 1e6 / seconds for seconds in (written - started, read - written))
    if same:
        yield Finding(
            probe="large objects",
            verdict="ok",
            found=f"{_LARGE_BYTES >> 20} MiB come back whole; {up:.0f} MB/s up, {down:.0f} down",
        )
    else:
        yield Finding(probe="large objects", verdict="failed", found="other bytes came back than were written.")


def _clock(store: Store) -> Iterator[Finding]:
    store.put("clock", b"")
    skew_s = store.info("clock").modified_s - time.time()
    if abs(skew_s) <= _MAX_SKEW_S:
        yield Finding(probe="clock", verdict="ok", found=f"the store's is {skew_s:+.0f} s from this machine's")
    else:
        found = f"the store's is {skew_s:+.0f} s from this machine's: signatures may be refused, and gc misjudges ages."
        yield Finding(probe="clock", verdict="warning", found=found)


def _cleanup(store: Store) -> Finding:
    """Remove what the probes wrote; also tells whether this role may delete."""
    try:
        for info in list(store.list()):
            store.delete(info.key)
        store.get("first")
    except NotFoundError:
        return Finding(probe="deletion", verdict="ok", found="allowed; only gc and catalogue build --replace need it")
    except AccessDeniedError as error:
        found = f"{error.message} A run deletes nothing; {store.uri} is left behind."
        return Finding(probe="deletion", verdict="warning", found=found)
    found = f"what was deleted is still there, in {store.uri}: gc would not free space."
    return Finding(probe="deletion", verdict="warning", found=found)


_PROBES = (_what_was_written_is_seen, _conditional_writes, _ranges_and_versions, _large_objects, _clock)
