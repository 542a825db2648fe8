"""The CNNs in PyTorch: named architectures, recipes, augmentation, the training loop, checkpoints, export."""
