"""The tables of an evaluation, the suite they belong to, and the folders they are stored in."""
