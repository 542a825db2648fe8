"""What a run amounted to: mergeable statistics, metrics, plots, pages. Numbers in, text out."""
