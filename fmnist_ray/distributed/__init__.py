"""The only room that imports Ray.

Ray reads these variables when it is first imported, so they are set here, before any module of the room can import it:
workers are started by this interpreter and not through another `uv run`, and nothing is reported to anyone.
"""

import os

os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
