"""The only room that imports Ray.

Ray reads these variables when it is first imported, so they are set here, before any module of the room can import it:
workers are started by this interpreter and not through another `uv run`, nothing is reported to anyone, a driver passes
its metrics on every second instead of ten, since it loses what it has not passed on when it ends, a Ray that is started
here keeps to loopback (as on macOS, whatever the variable is called), and every cluster asks for a token. Without one
of the user's own it is that of the running local cluster, or one is made up that only this process and its workers
know, which keeps Ray from writing one into the home folder.
"""

import os
import secrets
from pathlib import Path

from fmnist_ray.distributed.local_record import find_cluster

os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_metrics_report_interval_ms", "1000")
if (
    not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ)
    and not Path("~/.ray/auth_token").expanduser().exists()
):
    _cluster = find_cluster()
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32) if _cluster is None else _cluster.token
