"""`fmnist-ray tune` as an entry script: ray job submit -- python jobs/tune.py --vary batch_size=64,128 --out URI."""

import sys

from fmnist_ray.cli.app import app

app(["tune", *sys.argv[1:]])
