"""What is looked at and worked with in a notebook: plain state, a thin view, static HTML for readers without a kernel."""
