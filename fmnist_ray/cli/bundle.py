"""`bundle`: which bundles there are, what changes between two of them, and which one an alias means."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.bundle_gate import promote
from fmnist_ray.cli.compress import compress
from fmnist_ray.cli.console import Output, failures

app = typer.Typer(no_args_is_help=True, help="The life of bundles: list, compare, promote, go back.")

Name = Annotated[str, typer.Argument(help="A shipped bundle's name, REGISTRY@ALIAS, or a bundle's path or URI.")]
Reference = Annotated[str, typer.Argument(help="REGISTRY@ALIAS, as in shop/bundles@default.")]


@app.command("list", epilog="Example: fmnist-ray bundle list s3://shop/bundles")
def list_bundles(
    registry: Annotated[str | None, typer.Argument(help="A place with aliases. Default: the shipped bundles.")] = None,
    history: Annotated[bool, typer.Option("--history", help="Every move of each alias.")] = False,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Show the aliases of a registry, or the bundles that come with the package."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.bundle.aliases import all_aliases
        from fmnist_ray.bundle.format import read_bundle, shipped_names
        from fmnist_ray.store import open_store

        if registry is None:
            bundles = {name: read_bundle(name) for name in shipped_names()}
            rows = [(name, found.spec.architecture, found.digest[:12]) for name, found in bundles.items()]
            output.table("Shipped bundles", ("name", "network", "digest"), rows)
            return output.result({"shipped": {name: found.digest for name, found in bundles.items()}})
        moves = all_aliases(open_store(registry))
        shown = [record for records in moves.values() for record in (records if history else records[-1:])]
        cells = [(record.alias, record.number, record.digest[:12], record.move, record.moved_at) for record in shown]
        output.table(f"Aliases of {registry}", ("alias", "move", "bundle", "by", "at"), cells)
        output.result({"aliases": [dataclasses.asdict(record) for record in shown]})


@app.command(epilog="Example: fmnist-ray bundle show s3://shop/bundles@default")
def show(name: Name = "default", json_mode: options.Json = False, verbose: options.Verbose = False) -> None:
    """Show what a bundle is, after checking every byte of it."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.bundle.format import read_bundle

        found = read_bundle(name)
        spec = found.spec
        sizes = {file: len(data) for file, data in sorted(found.files.items())}
        facts = {
            "place": found.uri,
            "digest": found.digest,
            "network": spec.architecture,
            "input": f"{spec.preparation.channels} x {spec.preparation.size} x {spec.preparation.size}",
            "labels": ", ".join(spec.labels),
            "decides": spec.heads.decides if spec.heads else "cnn",
            "bytes": f"{sum(sizes.values()):,}",
            **{metric.replace("_", " "): value for metric, value in spec.metrics.items()},
            "made by": spec.provenance.get("command", "not recorded"),
        }
        output.facts(f"Bundle {name}", facts)
        described = dataclasses.asdict(spec)
        output.result({"uri": found.uri, "digest": found.digest, "files": sizes, "description": described})


@app.command(
    epilog="Example: fmnist-ray bundle diff shop/bundles@default my-bundle --catalogue fashion-mnist-test --out diff"
)
def diff(
    before: Name,
    after: Name,
    catalogue: Annotated[str | None, typer.Option(help="Rows for both to answer; labels are not needed.")] = None,
    out: Annotated[str, typer.Option(help="With --catalogue: where diff.html and diff.json go.")] = "bundle-diff",
    min_precision: Annotated[float, typer.Option(help="Compare what both accept at this precision; 0: don't.")] = 0.99,
    image_column: Annotated[str, typer.Option(help="Encoded image bytes.")] = "image",
    label_column: options.LabelColumn = None,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Show what changes from one bundle to another: settings, and rows that flip. Rows need --catalogue."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.config.bundles import PairSettings
        from fmnist_ray.config.classify import ColumnNames
        from fmnist_ray.flows.bundle_diff import diff_bundles, diff_descriptions

        report_uri = None
        if catalogue is None:
            content = diff_descriptions(before, after).content
        else:
            columns = ColumnNames(image=image_column, label=label_column)
            settings = PairSettings(
                before=before, after=after, data_uri=catalogue, columns=columns, min_precision=min_precision or None
            )
            with output.progress("rows") as on_progress:
                found = diff_bundles(settings, out_uri=out, on_progress=on_progress)
            content, report_uri = found.report.content, found.report_uri
        _show_diff(content, output)
        rows = content["rows"]
        if rows:
            output.note(f"Report: {report_uri}")
            rows = {**rows, "flips": [{**flip, "examples": len(flip["examples"])} for flip in rows["flips"]]}
        output.result({**content, "rows": rows, "report_uri": report_uri})


def _show_diff(content: dict[str, Any], output: Output) -> None:
    rows = [(entry["name"], entry["before"], entry["after"]) for entry in content["differences"]]
    digests = [content[side]["digest"][:12] for side in ("before", "after")]
    output.table("What differs", ("", "before", "after"), [("digest", *digests), *rows])
    found = content["rows"]
    if found is None:
        return
    facts = {"rows that flip": f"{found['num_flipped']:,} of {found['num_usable']:,} ({found['flipped_share']:.2%})"}
    if comparison := found["comparison"]:
        facts["accuracy"] = (
            f"{comparison['before_accuracy']:.2%} to {comparison['after_accuracy']:.2%}, McNemar p "
            f"{comparison['p_value']:.2g}"
        )
    if accepted := found["accepted"]:
        facts["accepted unseen"] = f"{accepted['before']:.1%} to {accepted['after']:.1%}"
    output.facts(f"On {found['data_uri']}", facts)


@app.command(epilog="Example: fmnist-ray bundle add my-bundle shop/bundles@candidate")
def add(name: Name, to: Reference, json_mode: options.Json = False, verbose: options.Verbose = False) -> None:
    """Copy a bundle into a registry under an alias that no gate guards."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.flows.promote import add_bundle

        record = add_bundle(name, to)
        output.note(f"{to} means bundle {record.digest[:12]} now.")
        output.result(dataclasses.asdict(record))


@app.command(epilog="Example: fmnist-ray bundle rollback shop/bundles@default")
def rollback(alias: Reference, json_mode: options.Json = False, verbose: options.Verbose = False) -> None:
    """Let an alias mean the bundle that it meant before."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.flows.promote import rollback as go_back

        record = go_back(alias)
        output.note(f"{alias} means bundle {record.digest[:12]} again, and no longer {record.source[:12]}.")
        output.result(dataclasses.asdict(record))


app.command(epilog="Example: fmnist-ray bundle compress default --out small")(compress)
app.command(
    epilog="Example: fmnist-ray bundle promote my-bundle shop/bundles@default. Exit code 3 with the failing figures."
)(promote)
