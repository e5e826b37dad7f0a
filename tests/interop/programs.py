"""Programs of others, run with a browser that is Alice's, in a home of their own."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tools.node import ROOT, Node

SECONDS_MAX = 120


@dataclass(frozen=True, slots=True)
class Desk:
    """A machine on which Alice sits, and what a program finds there. `ca_file` is an authority that it trusts."""

    browser: Path
    password: str
    ca_file: str

    @property
    def environment(self) -> dict[str, str]:
        home = self.browser.parent / "home"
        home.mkdir(exist_ok=True)
        return {
            **os.environ,
            "ALICE_PASSWORD": self.password,
            "BROWSER": str(self.browser),
            "HOME": str(home),
            "NODE_EXTRA_CA_CERTS": self.ca_file,
            "PYTHONPATH": str(ROOT),
        }

    def ran(self, *command: str | Path, said: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
        """What a program did that ends by itself."""
        return subprocess.run(
            [str(part) for part in command],
            cwd=self.browser.parent,
            env={**self.environment, **environment},
            input=said,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )

    def printed(self, script: Path, *arguments: str) -> str:
        """The last line of a Python program of ours that uses another's library."""
        done = self.ran(sys.executable, script, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1]

    def started(self, node: Node, *command: str | Path, log: IO[str]) -> "subprocess.Popen[str]":
        """A Node program that is spoken to over its standard input and output."""
        return subprocess.Popen(
            [str(node.program), *map(str, command)],
            cwd=self.browser.parent,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
