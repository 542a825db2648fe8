"""`serve`: the endpoint."""

from __future__ import annotations

import dataclasses
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.console import Output, failures
from fmnist_ray.errors import SettingError

if TYPE_CHECKING:
    from fmnist_ray.config.decisions import Promises
    from fmnist_ray.config.serve import ServeSettings

EPILOG = (
    "Example: fmnist-ray serve, then open http://127.0.0.1:8000, or: curl -F images=@shoe.jpg "
    "http://127.0.0.1:8000/v1/classify. For other machines: fmnist-ray serve --keys keys.txt --new-key shop, then "
    "fmnist-ray serve --keys keys.txt --host 0.0.0.0."
)


Images = Annotated[
    str, typer.Option("--images", help="Where images may lie that requests name, by commas. Default: nowhere.")
]
Features = Annotated[
    str | None, typer.Option("--features", help="The --out of a fmnist-ray features, for POST /v1/similar.")
]
Watch = Annotated[
    float | None,
    typer.Option("--watch", help="Seconds after which to look whether another bundle is at --bundle, to take it over."),
]


def serve(
    bundle: options.Bundle = "default",
    head: options.Head = "bundle",
    min_precision: options.MinPrecision = None,
    per_class: options.PerClass = False,
    risk: options.Risk = 0.05,
    coverage: options.Coverage = 0.95,
    alarm_rate: options.AlarmRate = 0.01,
    images: Images = "",
    features: Features = None,
    host: Annotated[str, typer.Option(help="Address to listen on; any but 127.0.0.1 needs --keys.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8000,
    keys: Annotated[str | None, typer.Option(help="File of hashed keys; requests need one of them.")] = None,
    new_key: Annotated[str | None, typer.Option(help="Make a key, add it to --keys, serve nothing.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="Of --new-key: it may also load another bundle.")] = False,
    replicas: Annotated[str, typer.Option(help="Processes that answer: N, or MIN..MAX by load.")] = "1",
    threads: Annotated[int | None, typer.Option(help="Threads of each replica. Default: the CPUs, shared.")] = None,
    runtime: Annotated[Literal["cpu", "gpu"], typer.Option(help="What computes.")] = "cpu",
    gpu_share: Annotated[float, typer.Option(help="Share of a GPU for each replica of --runtime gpu.")] = 1.0,
    precision: Annotated[Literal["f32", "bf16"], typer.Option(help="Arithmetic of the network.")] = "f32",
    proxy: Annotated[Literal["haproxy", "ray"], typer.Option(help="What stands before the replicas.")] = "haproxy",
    watch: Watch = None,
    address: options.Address = None,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Answer over HTTP as the batch run does, with a page to try it. It ends with Ctrl-C or SIGTERM."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        if new_key is not None:
            return _make_key(keys, new_key, "admin" if admin else "classify", output)
        from fmnist_ray.config.classify import parse_names
        from fmnist_ray.config.decisions import Promises
        from fmnist_ray.config.serve import ServeSettings

        smallest, largest = _range(replicas)
        settings = ServeSettings(
            bundle=bundle,
            head=None if head == "bundle" else head,
            promises=Promises(
                min_precision=min_precision, per_class=per_class, risk=risk, coverage=coverage, alarm_rate=alarm_rate
            ),
            image_prefixes=parse_names(images),
            features_uri=features,
            host=host,
            port=port,
            keys_path=keys,
            min_replicas=smallest,
            max_replicas=largest,
            threads=threads,
            runtime=runtime,
            gpu_share=gpu_share,
            precision=precision,
            proxy=proxy,
            watch_s=watch,
        )
        _answer(settings, output, address=address)


def _range(replicas: str) -> tuple[int, int]:
    smallest, _, largest = replicas.partition("..")
    if not smallest.isdecimal() or not (largest or smallest).isdecimal():
        raise SettingError(f"--replicas is {replicas}; it must be a number, or MIN..MAX.")
    return int(smallest), int(largest or smallest)


def _answer(settings: ServeSettings, output: Output, *, address: str | None) -> None:
    """Answer until a signal says to stop."""
    from fmnist_ray.distributed.serve import open_endpoint, watch_bundle

    output.note("Starting Ray Serve; this takes some ten seconds.")
    with open_endpoint(settings, address=address) as endpoint:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):  # only now: Ray put its own in place, which end it in 3 seconds
            signal.signal(number, lambda *_: stop.set())
        exposed = ", ".join(map(str, endpoint.exposed_ports))
        facts = {
            "page": endpoint.url,
            "classify": f"curl -F images=@PHOTO {endpoint.url}/v1/classify",
            **({"similar": f"curl -F images=@PHOTO {endpoint.url}/v1/similar"} if settings.features_uri else {}),
            "interface": f"{endpoint.url}/openapi.json",
            "bundle": endpoint.bundle_digest[:12],
            **({"promised": _promise(settings.promises)} if settings.promises.min_precision else {}),
            "keys": settings.keys_path or "none needed: only this machine can reach it",
            "firewall": f"keep others from Ray's own ports: {exposed}, and one that the explainer opens"
            if exposed
            else "needs to close no port",
        }
        output.facts("Answering; Ctrl-C stops", facts)
        output.result(dataclasses.asdict(endpoint))
        watch = watch_bundle(settings, endpoint.bundle_digest)
        while not stop.wait(settings.watch_s):
            if (news := watch.look()) is not None:
                output.note(news)
        output.note("Stopping; requests that were accepted are answered first.")
    output.note("Stopped.")


def _promise(promises: Promises) -> str:
    where = "in every predicted class" if promises.per_class else "over all of them"
    return f"{promises.min_precision:.2%} of accepted images are right, {where}, at a risk of {promises.risk:g}"


def _make_key(path: str | None, name: str, role: Literal["classify", "admin"], output: Output) -> None:
    from fmnist_ray.endpoint.keys import add_key

    if path is None:
        raise SettingError("Name the file for the new key with --keys FILE.")
    key = add_key(path, name, role)
    output.facts(
        f"Added {name} to {Path(path).absolute()}. The key is shown this once; the file has only its hash",
        {"key": key, "may": "classify, and load another bundle" if role == "admin" else "classify"},
    )
    output.result({"name": name, "role": role, "key": key, "keys_path": path})
