"""Files that travel with the code: `db-init/` and `config/`.

In a checkout they lie beside the package, in an installed wheel inside it.
"""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def resource(name: str) -> Path:
    """The folder `db-init` or `config`, wherever this installation keeps it."""
    inside = PACKAGE / name.replace("-", "_")
    return inside if inside.is_dir() else PACKAGE.parent / name
