"""The commit protocol under crashes: real claim, receipts and commit over an in-memory store that stops its caller
before or after any call, loses answers, and lets drivers race.

Whatever happens, these hold after every single call: data is never overwritten (I1), a receipt names files that are
there (I2), a commit names the files of every shard (I3), and a reader that follows the commit sees every row once or
nothing (I4). After the trouble, the same command again always ends in a commit.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmnist_ray.catalogue.commit import COMMIT, claim, commit_run, read_commit
from fmnist_ray.catalogue.plan import InputFile, Plan, make_plan
from fmnist_ray.catalogue.receipts import Receipt, read_receipts, write_shard
from fmnist_ray.errors import OutputTakenError
from fmnist_ray.store import ObjectInfo
from fmnist_ray.store.memory import MemoryStore

NUM_ROWS = 9


def plan_of(bundle: str = "b1") -> Plan:
    file = InputFile(key="in.parquet", size_bytes=1, etag="e", row_groups=(NUM_ROWS,))
    return make_plan(catalogue_uri="c", inputs=[file], columns={}, promises={"bundle": bundle}, shard_rows=3)


class Crashed(BaseException):
    """The process ended here."""


class Oracle(MemoryStore):
    """The store itself, with the invariants checked at every change."""

    def put(self, key: str, data: bytes) -> None:
        assert not (key.startswith("data/") and key in self._objects), f"I1: {key} was overwritten"
        super().put(key, data)
        if key.startswith("receipts/"):
            self._check_files(Receipt.from_json(data))
        if key == COMMIT:
            self.read_run()

    def read_run(self) -> list[int] | None:
        """What a reader gets: None, or all rows."""
        commit = read_commit(self)
        if commit is None:
            return None
        rows = sorted(row for file in commit.files for row in json.loads(self.get(file.key)))
        assert rows == list(range(NUM_ROWS)), "I3, I4: a reader sees rows lost or doubled"
        assert commit.num_rows == NUM_ROWS == commit.num_predictions
        return rows

    def _check_files(self, receipt: Receipt) -> None:
        for file in receipt.files:
            assert self.info(file.key).size_bytes == file.size_bytes, "I2: a receipt before its data"


@dataclass
class Faults:
    """What happens to one process: it ends before or after its n-th call; answers of conditional writes get lost."""

    crash_at: int | None = None
    after: bool = False
    lose_answers: bool = False
    conditional: bool = True
    calls: int = 0
    turn: Callable[[], None] = field(default=lambda: None)


class Seen:
    """The store as one process sees it."""

    def __init__(self, store: Oracle, faults: Faults) -> None:
        self.uri = store.uri
        self._store = store
        self._faults = faults

    def get(self, key: str) -> bytes:
        return self._call(lambda: self._store.get(key))

    def info(self, key: str) -> ObjectInfo:
        return self._call(lambda: self._store.info(key))

    def put(self, key: str, data: bytes) -> None:
        self._call(lambda: self._store.put(key, data))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        if not self._faults.conditional:
            self._call(lambda: self._store.put(key, data))
            return True
        won = self._call(lambda: self._store.put_if_absent(key, data))
        return won and not self._faults.lose_answers

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return iter(self._call(lambda: list(self._store.list(prefix))))

    def read_range(self, key: str, start: int, length: int, *, etag: str) -> bytes:
        return self._call(lambda: self._store.read_range(key, start, length, etag=etag))

    def delete(self, key: str) -> None:
        raise AssertionError("nothing is ever deleted by a run")

    def _call(self, action: Callable[[], object]):  # type: ignore[no-untyped-def]
        self._faults.turn()
        self._faults.calls += 1
        hit = self._faults.calls == self._faults.crash_at
        if hit and not self._faults.after:
            raise Crashed
        try:
            return action()
        finally:
            if hit:
                raise Crashed


def drive(store: Oracle, faults: Faults, plan: Plan, *, replace: bool = False) -> None:
    """What a driver with one worker does, from claim to commit."""
    seen = Seen(store, faults)
    plan = claim(seen, plan, replace=replace)
    receipts = read_receipts(seen, plan)
    for shard in plan.shards:
        if shard.id not in receipts:
            rows = json.dumps(list(range(shard.start, shard.stop))).encode()
            attempt = f"{random.getrandbits(48):012x}"
            receipts[shard.id] = write_shard(
                seen, plan, shard, attempt, {"predictions": (rows, shard.num_rows)}, {"n": 1}
            )
    commit_run(seen, plan, receipts, statistics={}, facts={})


def calls_of_a_clean_run(**how: bool) -> int:
    faults = Faults(**how)
    drive(Oracle(), faults, plan_of())
    return faults.calls


@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize("lose_answers", [False, True])
def test_a_crash_at_any_call_is_completed_by_the_same_command(conditional: bool, lose_answers: bool) -> None:
    """Exhaustive over two crashes in a row, each before or after any call."""
    num_calls = calls_of_a_clean_run(conditional=conditional, lose_answers=lose_answers)
    assert num_calls >= 15
    points = [(call, after) for call in range(1, num_calls + 1) for after in (False, True)]
    for first in points:
        for second in [None, *points]:
            store = Oracle()
            crashes = 0
            for crash in (first, second):
                call, after = crash or (None, False)
                faults = Faults(call, after, lose_answers=lose_answers, conditional=conditional)
                try:
                    drive(store, faults, plan_of())
                except Crashed:
                    crashes += 1
                store.read_run()
            drive(store, Faults(conditional=conditional), plan_of())
            assert store.read_run() is not None
            assert crashes >= 1


def test_a_receipted_shard_is_never_done_again() -> None:
    store = Oracle()
    with pytest.raises(Crashed):
        drive(store, Faults(crash_at=8, after=True), plan_of())
    before = {info.key for info in store.list("data/")}
    done = read_receipts(store, plan_of())
    assert 0 < len(done) < 3
    drive(store, Faults(), plan_of())
    added = {info.key for info in store.list("data/")} - before
    assert len(added) == 3 - len(done)


def test_another_plan_is_refused_and_with_replace_links_the_one_before() -> None:
    store = Oracle()
    first, second = plan_of("b1"), plan_of("b2")
    assert first.plan_id != second.plan_id
    drive(store, Faults(), first)
    with pytest.raises(OutputTakenError, match="--replace"):
        drive(store, Faults(), second)
    drive(store, Faults(), second, replace=True)
    commit = read_commit(store)
    assert commit is not None
    assert (commit.plan_id, commit.previous) == (second.plan_id, first.plan_id)
    kept = read_commit(store, first.plan_id)
    assert kept is not None
    assert {file.key for file in kept.files}.isdisjoint(file.key for file in commit.files)


def test_a_crash_while_replacing_leaves_one_or_the_other_run() -> None:
    probe = Oracle()
    drive(probe, Faults(), plan_of("b1"))
    faults = Faults()
    drive(probe, faults, plan_of("b2"), replace=True)
    for call in range(1, faults.calls + 1):
        for after in (False, True):
            store = Oracle()
            drive(store, Faults(), plan_of("b1"))
            with pytest.raises(Crashed):
                drive(store, Faults(call, after), plan_of("b2"), replace=True)
            assert store.read_run() is not None
            drive(store, Faults(), plan_of("b2"), replace=True)
            commit = read_commit(store)
            assert commit is not None
            assert commit.plan_id == plan_of("b2").plan_id
            assert commit.previous == plan_of("b1").plan_id


class Turns:
    """Lets one of several threads make its next store call at a time, in an order drawn from a seed."""

    def __init__(self, seed: int, members: int) -> None:
        self._random = random.Random(seed)
        self._waiting: set[int] = set()
        self._active = members
        self._chosen: int | None = None
        self._changed = threading.Condition()

    def wait(self, member: int) -> None:
        with self._changed:
            self._waiting.add(member)
            self._choose()
            assert self._changed.wait_for(lambda: self._chosen == member, timeout=20)
            self._waiting.remove(member)
            self._chosen = None

    def leave(self) -> None:
        with self._changed:
            self._active -= 1
            self._choose()

    def _choose(self) -> None:
        if self._chosen is None and self._waiting and len(self._waiting) == self._active:
            self._chosen = self._random.choice(sorted(self._waiting))
            self._changed.notify_all()


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    crashes=st.lists(st.tuples(st.integers(1, 25) | st.none(), st.booleans(), st.booleans()), min_size=2, max_size=3),
    conditional=st.booleans(),
)
def test_drivers_that_race_and_crash_commit_once(
    seed: int, crashes: list[tuple[int | None, bool, bool]], conditional: bool
) -> None:
    store = Oracle()
    turns = Turns(seed, len(crashes))
    trouble: list[BaseException] = []

    def run(number: int, crash: tuple[int | None, bool, bool]) -> None:
        call, after, lose = crash
        faults = Faults(call, after, lose_answers=lose, conditional=conditional, turn=lambda: turns.wait(number))
        try:
            drive(store, faults, plan_of())
        except Crashed:
            pass
        except BaseException as error:  # noqa: BLE001 shown by the assertion below
            trouble.append(error)
        finally:
            turns.leave()

    threads = [threading.Thread(target=run, args=(number, crash)) for number, crash in enumerate(crashes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert trouble == []
    drive(store, Faults(conditional=conditional), plan_of())
    assert store.read_run() is not None
