"""A Python environment for other people's programs, made once and kept in the cache folder of the user."""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path


def environment(*requirements: str) -> Path:
    """The interpreter of an environment that holds exactly these packages."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chatnvl" / "strangers"
    name = hashlib.sha256("\n".join([sys.version, *requirements]).encode()).hexdigest()[:16]
    folder, ready = cache / name, cache / f"{name}.ready"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not ready.exists():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
        subprocess.run(install, check=True)
        ready.write_text("\n".join(requirements))
    return python
