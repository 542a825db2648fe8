"""`python -m fmnist_ray` is the `fmnist-ray` command."""

from fmnist_ray.cli.app import main

if __name__ == "__main__":
    main()
