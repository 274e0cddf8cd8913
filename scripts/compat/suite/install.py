"""Brings the clients the run needs, each by its own package client, into one cache folder.

Owns: ${OTTLA_CACHE:-~/.cache/ottla}. Installs Debian packages only when it is root; otherwise it says which are
missing. Never touches the checkout.
"""

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
PEERS = HERE.parent / "peers"


def cache_dir() -> Path:
    base = os.environ.get("OTTLA_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ottla"


@dataclass
class Installed:
    kafka_jars: Path
    python: Path  # an interpreter that has the Python clients
    franz: Path
    programs: Path  # a folder with the compiled Java programs


class MissingTool(Exception):
    """Something can't be had without the person's help; the text says what to do."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def debian(command: str, package: str) -> str:
    """Makes sure `command` is there; gives its path."""
    found = shutil.which(command)
    if found:
        return found
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise MissingTool(f"{command} is missing: install the Debian package {package} (apt-get install {package})")
    say(f"installing {package} (for {command})")
    quiet = {"check": True, "stdout": sys.stderr, "env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}}
    subprocess.run(["apt-get", "update", "-qq"], **quiet)
    subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", package], **quiet)
    return shutil.which(command) or _still_missing(command, package)


def _still_missing(command: str, package: str) -> str:
    raise MissingTool(f"{command} is still missing after installing {package}")


def named_after(prefix: str, *sources: Path) -> Path:
    """A cache path that changes with the content of what it is built from."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    return cache_dir() / f"{prefix}-{digest.hexdigest()[:12]}"


def remove_if_unfinished(folder: Path) -> bool:
    """True when `folder` is complete; an interrupted install is taken away."""
    if (folder / ".complete").exists():
        return True
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return False


def kafka_jars() -> Path:
    printed = subprocess.run([PEERS / "kafka-jars"], check=True, stdout=subprocess.PIPE, text=True)
    return Path(printed.stdout.strip())


def python_clients() -> Path:
    requirements = HERE / "python" / "requirements.txt"
    venv = named_after("python", requirements)
    python = venv / "bin" / "python"
    if remove_if_unfinished(venv):
        return python
    debian("python3", "python3")
    say(f"making {venv} with the Python clients")
    made = subprocess.run([sys.executable, "-m", "venv", venv], stdout=sys.stderr, check=False)
    if made.returncode:
        raise MissingTool("Python can't make a virtual environment: apt-get install python3-venv")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements]
    subprocess.run(pip, check=True, stdout=sys.stderr)
    (venv / ".complete").touch()
    return python


def franz() -> Path:
    module = HERE / "franz"
    built = named_after("franz", *sorted(module.glob("*.go")), module / "go.mod", module / "go.sum")
    binary = built / "franz"
    if remove_if_unfinished(built):
        return binary
    go = debian("go", "golang-go")
    say("building the franz-go driver")
    subprocess.run([go, "build", "-o", binary, "."], cwd=module, check=True, stdout=sys.stderr)
    (built / ".complete").touch()
    return binary


def java_programs(jars: Path) -> Path:
    sources = sorted((HERE / "java").glob("*.java"))
    classes = named_after("java", *sources, PEERS / "kafka-pom.xml")
    if remove_if_unfinished(classes):
        return classes
    javac = debian("javac", "openjdk-17-jdk-headless")
    say("compiling the Java programs")
    subprocess.run([javac, "-cp", f"{jars}/*", "-d", classes, *sources], check=True, stdout=sys.stderr)
    (classes / ".complete").touch()
    return classes


def corpus() -> Path:
    """A text of over a million lines: the GNU Collaborative International Dictionary of English.

    The Debian package is only unpacked into the cache, not installed.
    """
    folder = cache_dir() / "gcide"
    text = folder / "gcide.txt"
    if remove_if_unfinished(folder):
        return text
    folder.mkdir(parents=True)
    say("fetching a text corpus (Debian's dict-gcide)")
    fetch = ["apt-get", "download", "-qq", "dict-gcide"]
    if subprocess.run(fetch, cwd=folder, stdout=sys.stderr, check=False).returncode:
        if os.geteuid() == 0:
            subprocess.run(["apt-get", "update", "-qq"], check=True, stdout=sys.stderr)
        subprocess.run(fetch, cwd=folder, check=True, stdout=sys.stderr)
    package = next(folder.glob("dict-gcide*.deb"))
    subprocess.run(["dpkg-deb", "-x", package, folder / "unpacked"], check=True)
    packed = folder / "unpacked" / "usr" / "share" / "dictd" / "gcide.dict.dz"
    with gzip.open(packed, "rb") as source, text.open("wb") as target:
        shutil.copyfileobj(source, target)
    shutil.rmtree(folder / "unpacked")
    package.unlink()
    (folder / ".complete").touch()
    return text


def everything() -> Installed:
    debian("kcat", "kcat")
    jars = kafka_jars()
    return Installed(kafka_jars=jars, python=python_clients(), franz=franz(), programs=java_programs(jars))
