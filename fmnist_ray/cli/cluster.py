"""`cluster`: a Ray of several nodes on this machine, which the other commands join while it runs."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.console import Output, failures

cluster_app = typer.Typer(no_args_is_help=True, help="A Ray of several nodes on this machine.")

UP_EPILOG = (
    "Example: fmnist-ray cluster up --nodes 3. From then on every command works there, and fmnist-ray submit hands "
    "commands over. Its ports ask for a token, which the commands of this user know."
)


@cluster_app.command(epilog=UP_EPILOG)
def up(
    nodes: Annotated[int, typer.Option(help="Worker nodes, besides the head.")] = 2,
    cpus: Annotated[int | None, typer.Option(help="CPUs of each node. Default: an equal share, at least 1.")] = None,
    gpus: Annotated[int, typer.Option(help="GPUs of each node.")] = 0,
    memory_gb: Annotated[float | None, typer.Option(help="Memory of each node. Default: what is free.")] = None,
    dashboard_port: Annotated[int, typer.Option(help="On loopback. Default: a free one.")] = 0,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Start a head and worker nodes, with a token, and the dashboard on loopback."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.config.cluster import ClusterSettings
        from fmnist_ray.distributed.local_cluster import start_cluster

        settings = ClusterSettings(
            nodes=nodes, cpus=cpus, gpus=gpus, memory_gb=memory_gb, dashboard_port=dashboard_port
        )
        cluster = start_cluster(settings)
        facts = {
            "nodes": f"{nodes} with {settings.cpus_per_node} CPUs each" + (f", {gpus} GPUs" if gpus else ""),
            "address": cluster.address,
            "dashboard": cluster.dashboard_url,
        }
        output.facts("The cluster runs", facts)
        output.note("\nNext:\n  fmnist-ray submit classify CATALOGUE --out RESULTS\n  fmnist-ray cluster down")
        output.result({"address": cluster.address, "dashboard_url": cluster.dashboard_url, "num_nodes": nodes})


@cluster_app.command()
def status(address: options.Address = None, json_mode: options.Json = False, verbose: options.Verbose = False) -> None:
    """Show the nodes of a cluster, what they have, and its jobs."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.distributed.cluster_state import cluster_state

        state = cluster_state(address)
        output.table(
            f"Nodes of {state.address}",
            ("node", "address", "state", "CPUs", "GPUs", "memory"),
            [
                (
                    node.name,
                    node.address,
                    "alive" if node.alive else "dead",
                    node.cpus,
                    node.gpus,
                    f"{node.memory_gb} GB",
                )
                for node in state.nodes
            ],
        )
        output.table("Jobs", ("job", "status", "command"), [(job.id, job.status, job.command) for job in state.jobs])
        output.facts("Now", {"CPUs in use": f"{state.cpus_used:g}", "dashboard": state.dashboard_url})
        output.result(dataclasses.asdict(state))


@cluster_app.command()
def down(json_mode: options.Json = False, verbose: options.Verbose = False) -> None:
    """End the cluster that `up` started, with its jobs, and nothing else. No file of it stays."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.distributed.local_cluster import end_cluster
        from fmnist_ray.distributed.local_record import recorded_cluster

        cluster = recorded_cluster()
        num_processes = 0 if cluster is None else end_cluster(cluster)
        output.note("No cluster runs here." if cluster is None else f"The cluster is down: {num_processes} processes.")
        output.result({"was_running": cluster is not None, "num_processes": num_processes})
