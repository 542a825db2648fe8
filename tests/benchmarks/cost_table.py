"""What a cluster costs: rows per core-hour and per unit of money, from the measured speed of a worker.

    python tests/benchmarks/cost_table.py --price 0.02 --price 0.05

reads `results/classify_speed.json` and prints README's table. The speed is that of workers which are up: a run adds the
start of the cluster, and the driver's share is in `cluster_scale.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "classify_speed.json"
PRICES = (0.02, 0.05)
"""Of a core for an hour, in any currency: about what spot and ordinary machines cost."""


def cost_table(results: dict[str, Any], prices: tuple[float, ...]) -> str:
    """Markdown: a line per network that was measured."""
    cores, pipelines = results["machine"]["cores"], results["sizes"][-1]["pipelines"]
    header = [
        "network",
        "rows/s per core",
        "rows per core-hour",
        *(f"rows for 1, at {price} a core-hour" for price in prices),
    ]
    lines = [header, ["---"] * len(header)]
    for network, pipeline in ((results["network"], "classify"), (results["other_network"], "other")):
        per_s = pipelines[pipeline]["workers_rows_per_s"] / cores
        per_hour = 3600 * per_s
        lines.append(
            [network, f"{per_s:,.0f}", _millions(per_hour), *(_millions(per_hour / price) for price in prices)]
        )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _millions(rows: float) -> str:
    return f"{rows / 1e6:,.0f} million"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--price", type=float, action="append", help="Of a core for an hour; again for more columns.")
    arguments = parser.parse_args()
    sys.stdout.write(cost_table(json.loads(RESULTS.read_text()), tuple(arguments.price or PRICES)))


if __name__ == "__main__":
    main()
