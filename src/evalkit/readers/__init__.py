"""Read files of any known format into an `Evals`."""
