"""Batch jobs: submit, resume and collect."""
