"""`fmnist-ray train` as an entry script: ray job submit -- python jobs/train.py --recipe bn-cnn --out URI."""

import sys

from fmnist_ray.cli.app import app

app(["train", *sys.argv[1:]])
