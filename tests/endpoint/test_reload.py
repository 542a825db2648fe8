"""Another bundle takes over while requests are answered: none of them fails, and a bad bundle changes nothing."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fmnist_ray.bundle.classifier import load_bundle
from fmnist_ray.bundle.format import read_bundle
from fmnist_ray.client import Client
from fmnist_ray.config.bundles import GateLimits, PairSettings
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.endpoint.keys import add_key, read_keys
from fmnist_ray.errors import InputError
from fmnist_ray.flows.promote import add_bundle, promote


def test_reload_under_load(serve, tmp_path: Path, other_bundle: str, sample: list[bytes]) -> None:
    key = add_key(str(tmp_path / "keys"), "boss", "admin")
    digests = [load_bundle(name, runtime="cpu").digest for name in ("default", other_bundle)]
    expected = {
        digest: load_bundle(name, runtime="cpu").classify(sample[:20])["label"].to_pylist()
        for digest, name in zip(digests, ("default", other_bundle), strict=True)
    }
    seen: list[str] = []
    done = threading.Event()

    with serve(keys=read_keys(str(tmp_path / "keys"))) as url:

        def ask() -> None:
            with Client(url, key=key, retries=0) as client:
                while not done.is_set():
                    found = client.classify(sample[:20])
                    assert all(each.label == expected[str(each.bundle_digest)][n] for n, each in enumerate(found))
                    seen.extend(str(each.bundle_digest) for each in found)

        failures: list[BaseException] = []
        threads = [threading.Thread(target=watched, args=(ask, failures)) for _ in range(4)]
        for thread in threads:
            thread.start()
        with Client(url, key=key) as client:
            assert client.reload(other_bundle) == digests[1]
            assert client.reload("default") == digests[0]
            bad = tmp_path / "bad"
            shutil.copytree(other_bundle, bad)
            (bad / "model.onnx").write_bytes(b"changed")
            with pytest.raises(InputError, match="changed since the bundle was written"):
                client.reload(str(bad))
            with pytest.raises(InputError, match="is not a bundle"):
                client.reload(str(tmp_path / "nowhere"))
            assert client.bundle()["digest"] == digests[0]
            assert client.reload(other_bundle) == digests[1]
            assert client.reload() == digests[1], "the same place, read anew"
        done.set()
        for thread in threads:
            thread.join(timeout=60)
        assert failures == []
    assert set(seen) == set(digests)


def test_a_promotion_under_load_changes_no_answer_until_it_is_told(
    serve, tmp_path: Path, tiny_bundle: Path, sample: list[bytes]
) -> None:
    alias, digests = (
        f"{tmp_path}/registry@default",
        [read_bundle(name).digest for name in (str(tiny_bundle), "default")],
    )
    few = tmp_path / "few.parquet"
    pq.write_table(pq.read_table(sample_catalogue_path()).slice(0, 100), few)
    rows = PairSettings(before="", after="", data_uri=str(few), min_precision=None)
    anything = GateLimits(max_accuracy_loss=1, max_calibration_error=1, max_accepted_loss=1, max_flips=1, min_speed=0)
    add_bundle(str(tiny_bundle), alias)
    key = add_key(str(tmp_path / "keys"), "boss", "admin")
    seen: list[str] = []
    done = threading.Event()
    with serve(alias, keys=read_keys(str(tmp_path / "keys"))) as url, Client(url, key=key, retries=0) as client:

        def ask() -> None:
            while not done.is_set():
                seen.extend(str(each.bundle_digest) for each in client.classify(sample[:5]))

        failures: list[BaseException] = []
        thread = threading.Thread(target=watched, args=(ask, failures))
        thread.start()
        assert promote("default", alias, rows, anything).promoted
        assert client.reload() == digests[0], "the bundle that the alias meant, and a later replica is told the same"
        done.set()
        thread.join(timeout=60)
        assert failures == []
        assert set(seen) == {digests[0]}
        assert client.reload(alias) == digests[1]
        assert client.classify(sample[:1])[0].bundle_digest == digests[1]


def watched(work, failures: list[BaseException]) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 told by the test itself
        failures.append(error)
