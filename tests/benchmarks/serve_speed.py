"""How fast `fmnist-ray serve` answers, beside a plain FastAPI application, LitServe, and `classify` itself.

    uv run python tests/benchmarks/serve_speed.py [--seconds 10] [--repeats 3]

Needs wrk, which loads each endpoint from a process of its own; endpoints take turns (A B C A B C), each started anew,
with the same network, runtime, threads and images (28x28 PNG of Fashion-MNIST). Measured are requests of one image, as
a raw body, at 1 to 128 connections, and requests of 1 to 64 images, as a form, at 8 connections; LitServe, which runs
in an environment that `uv run --with` makes, gets base64 in JSON each time. A few seconds of each load are made before
and not counted. Beside them stands how many images a second the classifier answers in this process, 64 at a time with
all threads: nothing over HTTP can be faster. The figures go to `results/serve_speed.json`; their medians are printed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import urllib3
from run_figures import machine_facts
from urllib3.filepost import encode_multipart_formdata

from fmnist_ray.bundle.classifier import load_bundle
from fmnist_ray.datasets.shipped import sample_catalogue_path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "serve_speed.json"
CONNECTIONS = (1, 8, 32, 128)
IMAGES = (1, 16, 64)
FORM_CONNECTIONS = 8
WARM_UP_S = 3

Figures = dict[str, Any]
PATHS = {"plain": ("/one", "/many"), "litserve": ("/predict", "/predict")}
READY = {"litserve": "health"}
"""What answers 200 once an endpoint can classify; for most the OpenAPI document."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10, help="length of each measurement")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--endpoints", nargs="+", default=list(COMMANDS), choices=list(COMMANDS))
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started ends
    if shutil.which("wrk") is None:
        sys.exit("This benchmark needs wrk: apt-get install wrk.")
    runs: list[Figures] = []
    with tempfile.TemporaryDirectory(prefix="fmnist-serve-") as name:
        bodies = write_bodies(Path(name))
        for repeat in range(arguments.repeats):
            runs.append(measure_classifier(repeat=repeat, seconds=arguments.seconds))
            for endpoint in arguments.endpoints:
                runs += measure(endpoint, bodies, repeat=repeat, seconds=arguments.seconds)
    results = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", "tests/benchmarks/serve_speed.py", *sys.argv[1:]]),
        "machine": machine_facts(),
        "runs": runs,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    show(runs)


def plain_command(port: int) -> list[str]:
    return [sys.executable, str(HERE / "plain_endpoint.py"), str(port)]


def litserve_command(port: int) -> list[str]:
    return ["uv", "run", "--with", "litserve", "python", str(HERE / "litserve_endpoint.py"), str(port)]


def serve_command(proxy: str, port: int) -> list[str]:
    return [sys.executable, "-m", "fmnist_ray", "serve", "--port", str(port), "--proxy", proxy]


COMMANDS = {
    "plain": plain_command,
    "serve": lambda port: serve_command("haproxy", port),
    "litserve": litserve_command,
    "serve, Ray's proxy": lambda port: serve_command("ray", port),
}


Body = tuple[Path, str]
"""The file of a request's body, and its type."""


def sample_images() -> list[bytes]:
    images: list[bytes] = pq.ParquetFile(sample_catalogue_path()).read(["image"])["image"].to_pylist()
    return images


def write_bodies(folder: Path) -> dict[tuple[str, int], Body]:
    """Bodies by form and number of images; 0 is one image as it is, or in JSON one like any other."""
    images = sample_images()
    bodies = {("form", 0): (images[0], "image/png")}
    for number in IMAGES:
        fields = [("images", (f"{place}.png", image, "image/png")) for place, image in enumerate(images[:number])]
        bodies["form", number] = encode_multipart_formdata(fields, boundary="endpoint")
    for number in (0, *IMAGES):
        document = {"images": [b64encode(image).decode() for image in images[: max(1, number)]]}
        bodies["json", number] = json.dumps(document).encode(), "application/json"
    written = {}
    for (form, number), (body, kind) in bodies.items():
        path = folder / f"{form}-{number}"
        path.write_bytes(body)
        written[form, number] = path, kind
    return written


@contextlib.contextmanager
def running(endpoint: str) -> Iterator[tuple[str, float]]:
    """An endpoint's address, and the seconds until its first answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = time.monotonic()
    process = subprocess.Popen(COMMANDS[endpoint](port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        with urllib3.PoolManager(retries=False) as http:
            while True:
                with contextlib.suppress(urllib3.exceptions.HTTPError):
                    if http.request("GET", f"{url}/{READY.get(endpoint, 'openapi.json')}").status == 200:
                        break
                if process.poll() is not None or time.monotonic() - started > 120:
                    raise RuntimeError(f"The endpoint {endpoint} did not start.")
                time.sleep(0.05)
        yield url, time.monotonic() - started
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        for child in family:  # LitServe's processes outlive it
            with contextlib.suppress(psutil.Error):
                child.kill()


def measure_classifier(*, repeat: int, seconds: int) -> Figures:
    """The classifier without HTTP, in the shape of the other figures."""
    classifier, images = load_bundle("default", num_threads=os.cpu_count()), sample_images()[:64]
    classifier.answer(images)
    started, latencies = time.perf_counter(), []
    while time.perf_counter() - started < seconds:
        before = time.perf_counter()
        classifier.answer(images)
        latencies.append(1000 * (time.perf_counter() - before))
    elapsed_s = time.perf_counter() - started
    cuts = statistics.quantiles(latencies, n=100)
    rate = len(latencies) / elapsed_s
    return {
        "endpoint": "no endpoint",
        "repeat": repeat,
        "form_images": 64,
        "connections": 1,
        "elapsed_s": elapsed_s,
        "requests_per_s": rate,
        "images_per_s": rate * 64,
        **{f"p{share}_ms": cuts[share - 1] for share in (50, 95, 99)},
        "num_ok": len(latencies),
        "num_busy": 0,
        "num_other": 0,
        "num_broken": 0,
    }


def measure(endpoint: str, bodies: dict[tuple[str, int], Body], *, repeat: int, seconds: int) -> list[Figures]:
    found: list[Figures] = []
    one, many = PATHS.get(endpoint, ("/v1/classify", "/v1/classify"))
    form = "json" if endpoint == "litserve" else "form"
    load_before = os.getloadavg()[0]
    with running(endpoint) as (url, start_s):
        loads = [(0, connections) for connections in CONNECTIONS] + [(number, FORM_CONNECTIONS) for number in IMAGES]
        for num_images, connections in loads:
            path, kind = bodies[form, num_images]
            address = url + (many if num_images else one)
            wrk(address, path, kind, connections=connections, seconds=WARM_UP_S)
            figures = wrk(address, path, kind, connections=connections, seconds=seconds)
            figures["requests_per_s"] = figures["num_ok"] / figures["elapsed_s"]
            figures["images_per_s"] = figures["requests_per_s"] * max(1, num_images)
            facts = {"endpoint": endpoint, "repeat": repeat, "start_s": start_s, "load_before": load_before}
            found.append({**facts, "form_images": num_images, "connections": connections, **figures})
            sys.stderr.write(json.dumps(found[-1]) + "\n")
    return found


def wrk(url: str, body: Path, kind: str, *, connections: int, seconds: int) -> Figures:
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout",
        "20s",
        "-s",
        str(HERE / "wrk_post.lua"),
        url,
    ]
    environment = {**os.environ, "BODY": str(body), "TYPE": kind}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=seconds + 60)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    figures: Figures = json.loads(line.removeprefix("RESULT "))
    return figures


def show(runs: list[Figures]) -> None:
    """Medians over the repeats."""
    groups: dict[tuple[int, int, str], list[Figures]] = {}
    for run in runs:
        groups.setdefault((run["form_images"], run["connections"], run["endpoint"]), []).append(run)
    names = ("requests/s", "images/s", "p50 ms", "p95 ms", "p99 ms", "failed")
    say(f"{'load':<34}{'endpoint':<20}" + "".join(f"{name:>11}" for name in names))
    for (form_images, connections, endpoint), group in sorted(groups.items()):
        load = f"{form_images or 'one raw'} image(s), {connections} connections"
        keys = ("requests_per_s", "images_per_s", "p50_ms", "p95_ms", "p99_ms")
        middle = [statistics.median(run[key] for run in group) for key in keys]
        failed = sum(run["num_busy"] + run["num_other"] + run["num_broken"] for run in group)
        figures = [f"{value:,.0f}" for value in middle[:2]] + [f"{value:.1f}" for value in middle[2:]] + [str(failed)]
        say(f"{load:<34}{endpoint:<20}" + "".join(f"{figure:>11}" for figure in figures))


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
