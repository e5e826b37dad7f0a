"""Alice's browser as a program that others open: `python -m tests.interop.browser URL`, and back to where it is sent.

Whoever opens it need not listen yet: it comes back a few times.
"""

import os
import sys
import time

import httpx2

from tests.interop.person import allows

ATTEMPTS = 60


def come_back(where: str) -> None:
    for _ in range(ATTEMPTS):
        try:
            httpx2.get(where, trust_env=False)
        except httpx2.ConnectError:
            time.sleep(0.25)
        else:
            return
    raise SystemExit(f"nobody listens at {where.partition('?')[0]}")


if __name__ == "__main__":
    come_back(allows(sys.argv[1], "alice", os.environ["ALICE_PASSWORD"]))
