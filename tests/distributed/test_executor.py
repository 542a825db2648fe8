"""What a worker process of the pool keeps out."""

from __future__ import annotations

import subprocess
import sys


def test_a_worker_has_no_pandas_and_pyarrow_does_not_miss_it() -> None:
    program = (
        "import sys\n"
        "from fmnist_ray.distributed.executor import _NoPandas\n"
        "sys.meta_path.insert(0, _NoPandas())\n"
        "import pyarrow as pa\n"
        "print(pa.array(['a', None]).null_count, pa.table({'x': [1, 2]}).num_rows, 'pandas' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "2", "False"]
