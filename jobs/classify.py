"""`fmnist-ray classify` as an entry script: ray job submit -- python jobs/classify.py CATALOGUE --out URI."""

import sys

from fmnist_ray.cli.app import app

app(["classify", *sys.argv[1:]])
