"""Notebook widgets: plain state, a thin view, and static HTML without a kernel."""
