"""How fast photos are classified: JPEGs of 600 x 800, in Parquet on disk, in Parquet on S3, and as objects by URI.

    python tests/benchmarks/jpeg_speed.py PHOTOS.parquet --bundle BN_CNN [--rows 20000] [--named 2000]

PHOTOS has a column `image` of real photos; 1,000 of them, enlarged or shrunk to 600 x 800, are repeated, each time with
another comment in the file, so that no two files are equal. Printed, and written to `results/jpeg_speed.json`:

- classify: `fmnist-ray classify` with a bn_cnn, as a command and, from workers-up, by receipts; ms per image by step.
- plain: the pipeline of Ray's documentation, see `plain_pipeline.py`: full decode in Pillow, fp32 torch.
- decode_only: two processes that read the same Parquet files and decode at the same DCT scale, nothing else.
- s3: the same rows from an S3 server on this machine (MiniStack), whose own CPU time is taken off the two cores'.
- named: images as objects of their own, fetched by a worker's fetcher in one process: wall and CPU time per image.

Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import plain_pipeline
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg
from PIL import Image
from run_figures import machine_facts, run_figures
from timed_process import timed_process

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from s3_server import S3Server, run_ministack

from fmnist_ray.catalogue.build import catalogue_batch, write_catalogue
from fmnist_ray.catalogue.fetch import ImageFetcher
from fmnist_ray.store import open_store

RESULTS = Path(__file__).resolve().parent / "results" / "jpeg_speed.json"
NUM_PHOTOS = 1_000
SIZE = (600, 800)
QUALITY = 85
NUM_FILES = 12
MIN_SIDE = 56
"""Of the decoder's own scale, see `images/jpeg.py`."""
TIMEOUT_S = 600


def main() -> None:
    arguments = _arguments()
    photos = enlarged(arguments.photos)
    with tempfile.TemporaryDirectory(prefix="fmnist-jpeg-") as name:
        work = Path(name)
        catalogue = work / "catalogue"
        per_file = -(-arguments.rows // NUM_FILES)
        write_catalogue(
            batches(photos, arguments.rows), open_store(str(catalogue)), rows_per_file=per_file, replace=False
        )
        results: dict[str, Any] = {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": machine_facts(),
            "num_rows": arguments.rows,
            "mean_image_bytes": sum(map(len, photos)) // len(photos),
        }
        warm_up(work, photos, arguments.bundle)
        results["decode_only"] = {"images_per_s": round(decode_only(catalogue, arguments.rows))}
        results["classify"] = classify(work, str(catalogue), arguments.bundle, "local", {})
        results["plain"] = plain(work, catalogue, arguments.bundle)
        (work / "s3").mkdir()
        with run_ministack(work / "s3") as server:
            results["s3"] = from_s3(work, catalogue, arguments.bundle, server)
            results["named"] = named(photos, arguments.named, server)
    text = json.dumps(results | ratios(results, os.cpu_count() or 1), indent=1) + "\n"
    arguments.out.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def warm_up(work: Path, photos: list[bytes], bundle: str) -> None:
    """One small run of each command, not counted: compiles Python's modules, see `classify_speed.py`."""
    catalogue = work / "few"
    write_catalogue(batches(photos, 240), open_store(str(catalogue)), rows_per_file=20, replace=False)
    classify(work, str(catalogue), bundle, "few", {})
    plain(work, catalogue, bundle)
    shutil.rmtree(work / "plain")


def ratios(results: dict[str, Any], cores: int) -> dict[str, float]:
    """What is asked of the figures."""
    ours, s3 = results["classify"], results["s3"]
    rows = results["num_rows"]
    server_s_per_row = s3["server_cpu_s"] / rows / cores
    freed = 1 / (1 / s3["workers_rows_per_s"] - server_s_per_row)
    return {
        "times_plain": round(results["plain"]["elapsed_s"] / ours["elapsed_s"], 2),
        "share_of_decode_only": round(ours["workers_rows_per_s"] / results["decode_only"]["images_per_s"], 3),
        "s3_share_of_local": round(s3["workers_rows_per_s"] / ours["workers_rows_per_s"], 3),
        "s3_share_of_local_without_its_server": round(freed / ours["workers_rows_per_s"], 3),
    }


def enlarged(path: str) -> list[bytes]:
    """Real photos as JPEGs of `SIZE`."""
    cells = pq.read_table(path, columns=["image"]).column("image").slice(0, NUM_PHOTOS).to_pylist()
    encoded = []
    for cell in cells:
        sink = BytesIO()
        Image.open(BytesIO(cell)).convert("RGB").resize(SIZE, Image.Resampling.BICUBIC).save(
            sink, "JPEG", quality=QUALITY
        )
        encoded.append(sink.getvalue())
    return encoded


def marked(photo: bytes, number: int) -> bytes:
    """The photo with a comment that no other file has."""
    return photo[:2] + b"\xff\xfe\x00\x0a" + b"%08d" % number + photo[2:]


def batches(photos: list[bytes], num_rows: int) -> Iterator[pa.RecordBatch]:
    """Rows of a catalogue."""
    for start in range(0, num_rows, 500):
        rows = range(start, min(start + 500, num_rows))
        cells = [marked(photos[row % len(photos)], row) for row in rows]
        yield catalogue_batch([f"p{row:07d}" for row in rows], cells, None)


def classify(work: Path, catalogue: str, bundle: str, name: str, environment: dict[str, str]) -> dict[str, Any]:
    """One run of the command, with results on the local disk."""
    out = work / f"out-{name}"
    program = Path(sys.executable).with_name("fmnist-ray")
    command = [str(program), "classify", catalogue, "--out", str(out), "--bundle", bundle, "--json"]
    os.environ.update(environment)
    timed = timed_process(command, worker="_ShardActor", folder=work, timeout_s=TIMEOUT_S)
    return {
        "elapsed_s": round(timed.elapsed_s, 2),
        "load_before": round(timed.load_before, 2),
        "peak_worker_bytes": timed.peak_worker_bytes,
        **run_figures(out),
    }


def plain(work: Path, catalogue: Path, bundle: str) -> dict[str, Any]:
    """One run of the baseline."""
    command = [sys.executable, plain_pipeline.__file__, str(catalogue), str(work / "plain"), bundle, "--photos"]
    command += ["--temp-dir", str(work / "ray")]
    timed = timed_process(command, worker=plain_pipeline.TorchClassifier.__name__, folder=work, timeout_s=TIMEOUT_S)
    return {"elapsed_s": round(timed.elapsed_s, 2), "load_before": round(timed.load_before, 2)}


def decode_only(catalogue: Path, num_rows: int) -> float:
    """Images per second of two processes that decode, from the moment both are up."""
    paths = sorted(map(str, catalogue.glob("*.parquet")))
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(3)
    loops = [context.Process(target=_decode_files, args=(paths[number::2], gate)) for number in range(2)]
    for loop in loops:
        loop.start()
    gate.wait()
    started = time.perf_counter()
    for loop in loops:
        loop.join()
    seconds = time.perf_counter() - started
    if any(loop.exitcode for loop in loops):
        raise RuntimeError("A process that only decodes has failed.")
    return num_rows / seconds


def _decode_files(paths: list[str], gate: Any) -> None:
    gate.wait()
    for path in paths:
        for batch in pq.ParquetFile(path).iter_batches(256, columns=["image"], use_threads=False):
            for cell in batch.column(0).to_pylist():
                simplejpeg.decode_jpeg(cell, "RGB", min_height=MIN_SIDE, min_width=MIN_SIDE)


def from_s3(work: Path, catalogue: Path, bundle: str, server: S3Server) -> dict[str, Any]:
    """The same rows from a bucket."""
    os.environ.update(server.environment)
    place = f"s3://{server.new_bucket()}/catalogue"
    store = open_store(place)
    for path in catalogue.glob("*.parquet"):
        store.put(path.name, path.read_bytes())
    process = _server_process()
    before = process.cpu_times()
    figures = classify(work, place, bundle, "s3", server.environment)
    after = process.cpu_times()
    return figures | {"server_cpu_s": round(after.user + after.system - before.user - before.system, 2)}


def named(photos: list[bytes], num_images: int, server: S3Server) -> dict[str, Any]:
    """Objects by URI, as a worker fetches them."""
    store = open_store(f"s3://{server.new_bucket()}/photos")
    names = [f"{number:06d}.jpg" for number in range(num_images)]
    for number, name in enumerate(names):
        store.put(name, marked(photos[number % len(photos)], number))
    fetcher = ImageFetcher(store.uri, (), max_bytes=20_000_000)
    process = _server_process()
    before = process.cpu_times()
    started, cpu = time.perf_counter(), time.process_time()
    cells = fetcher.fetch(names)
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    after = process.cpu_times()
    if not all(isinstance(cell, bytes) for cell in cells):
        raise RuntimeError("An image was not fetched.")
    server_s = after.user + after.system - before.user - before.system
    return {
        "num_images": num_images,
        "images_per_s": round(num_images / seconds),
        "client_cpu_ms_per_image": round(cpu_s / num_images * 1e3, 3),
        "server_cpu_ms_per_image": round(server_s / num_images * 1e3, 3),
    }


def _server_process() -> psutil.Process:
    return next(child for child in psutil.Process().children() if "ministack" in child.cmdline())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos")
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--named", type=int, default=2_000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
