"""Neural networks in torch: architectures, training, export. Knows neither Ray nor stores."""
