"""Write a report as one file."""
