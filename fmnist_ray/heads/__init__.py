"""SVMs on a network's features, and classical models on pixels: scikit-learn's estimators, and their arrays."""
