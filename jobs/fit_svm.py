"""`fmnist-ray fit-svm` as an entry script: ray job submit -- python jobs/fit_svm.py --bundle B --out URI."""

import sys

from fmnist_ray.cli.app import app

app(["fit-svm", *sys.argv[1:]])
