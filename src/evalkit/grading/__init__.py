"""From judgements to verdicts: pass rules, grading per trial, summaries per group."""
