"""The tables of an evaluation, its suite, and the folders that store them."""
