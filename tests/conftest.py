"""For all tests: one thread for torch's own work, set before anything imports torch; parallel tests stay quick."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
