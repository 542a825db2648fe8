"""The only room that imports Ray.

Ray reads these variables when it is first imported, so they are set here, before any module of the room can import it:
workers are started by this interpreter and not through another `uv run`, nothing is reported to anyone, and every
cluster asks for a token. Without one of the user's own, a token that only this process and its workers know is made up,
which keeps Ray from writing one into the home folder.
"""

import os
import secrets
from pathlib import Path

os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")
if (
    not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ)
    and not Path("~/.ray/auth_token").expanduser().exists()
):
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
