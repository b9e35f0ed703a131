"""npm packages of other people, installed once and kept in the cache folder of the user."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest


def node_program(script: str, *packages: str) -> list[str]:
    """The command that runs one of our scripts beside exactly these packages."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node.js is not installed")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chatnvl" / "strangers"
    folder = cache / ("npm-" + hashlib.sha256("\n".join(packages).encode()).hexdigest()[:16])
    ready = folder / ".ready"
    if not ready.exists():
        folder.mkdir(parents=True, exist_ok=True)
        folder.joinpath("package.json").write_text('{"private": true, "type": "module"}')
        subprocess.run(
            [npm, "install", "--silent", "--no-audit", "--no-fund", *packages], cwd=folder, check=True
        )
        ready.touch()
    # An ES module finds packages only beside itself.
    return [node, shutil.copy(Path(__file__).with_name(script), folder)]
