"""`fmnist-ray nightly` as an entry script: ray job submit -- python jobs/nightly.py 's3://shop/{date}' --root URI."""

import sys

from fmnist_ray.cli.app import app

app(["nightly", *sys.argv[1:]])
