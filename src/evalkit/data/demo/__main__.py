"""`python -m evalkit.data.demo FOLDER`: write the synthetic data."""

from __future__ import annotations

import sys

from evalkit.data.demo import NOTICE, write
from evalkit.util.errors import EvalkitError

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m evalkit.data.demo FOLDER")
    try:
        folder = write(sys.argv[1])
    except (EvalkitError, OSError) as error:
        sys.exit(str(error))
    sys.stdout.write(f"{folder}: {NOTICE}\n")
