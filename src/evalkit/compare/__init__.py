"""Compare versions case by case: pairs, estimates, warnings, verdicts, gates, rankings and power."""
