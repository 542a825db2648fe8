"""A page as README shows it: `python tests/support/page_picture.py PAGE.html PICTURE.png`."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from chromium import CHROMIUM, FLAGS
from PIL import Image

WIDTH = 1280
COLOURS = 96
"""A picture of so few is a third as large, and looks the same."""


def take_picture(page: Path, picture: Path, height: int) -> None:
    """The top of a page in a light browser window, as a PNG."""
    with tempfile.TemporaryDirectory() as folder:
        taken = Path(folder) / "taken.png"
        options = (f"--screenshot={taken}", f"--window-size={WIDTH},{height}", "--hide-scrollbars")
        scheme = "--blink-settings=preferredColorScheme=1"
        command = [str(CHROMIUM), *FLAGS, *options, scheme, f"--user-data-dir={folder}", page.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        with Image.open(taken) as image:
            image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(picture, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--height", type=int, default=1730)
    arguments = parser.parse_args()
    take_picture(arguments.page, arguments.picture, arguments.height)


if __name__ == "__main__":
    main()
