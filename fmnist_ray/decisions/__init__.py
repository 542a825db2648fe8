"""From scores to answers: calibration, and the one function that decides. numpy and scipy, no torch.

scipy is imported where something is fitted: every worker would pay 0.8 s for it."""
