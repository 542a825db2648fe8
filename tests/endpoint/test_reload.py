"""Another bundle takes over while requests are answered: none of them fails, and a bad bundle changes nothing."""

from __future__ import annotations

import asyncio
import shutil
import threading
from pathlib import Path

import pytest

from fmnist_ray.bundle.classifier import load_bundle
from fmnist_ray.bundle.format import read_bundle
from fmnist_ray.client import Client
from fmnist_ray.config.serve import ServeSettings
from fmnist_ray.endpoint.keys import add_key, read_keys
from fmnist_ray.endpoint.model import Model, loader
from fmnist_ray.errors import InputError
from fmnist_ray.flows.promote import add_bundle


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


def test_a_promotion_changes_no_endpoint_until_it_is_told(tmp_path: Path, tiny_bundle: Path) -> None:
    alias, digests = f"{tmp_path}@default", [read_bundle(name).digest for name in (str(tiny_bundle), "default")]
    add_bundle(str(tiny_bundle), alias)
    model = Model(alias, loader(ServeSettings(bundle=alias), threads=1))
    add_bundle("default", alias)
    assert model.classifier.digest == digests[0]
    assert model.uri.endswith(digests[0]), "what a replica that starts later is told"
    assert asyncio.run(model.replace(model.uri)).digest == digests[0]
    assert asyncio.run(model.replace(alias)).digest == digests[1]
    assert model.uri.endswith(digests[1])


def watched(work, failures: list[BaseException]) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 told by the test itself
        failures.append(error)
