"""From scores to answers: calibration, and the one function that decides. numpy and scipy, no torch."""
