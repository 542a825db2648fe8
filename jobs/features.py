"""`fmnist-ray features` as an entry script: ray job submit -- python jobs/features.py CATALOGUE --out URI."""

import sys

from fmnist_ray.cli.app import app

app(["features", *sys.argv[1:]])
