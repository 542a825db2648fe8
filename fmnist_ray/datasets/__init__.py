"""Fashion-MNIST: where it is had from, and how it is known to be the right one."""
