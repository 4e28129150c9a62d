"""The lake, where Parquet runs are kept: `<lake>/<folder>/partition_date=D/run_id=R/`.

A run is written once, by Spark, and published by the ledger row that names it. `<lake>`
is a folder or any URL that both Spark and pyarrow understand.
"""

import contextlib
import datetime
import re
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet

from workflow.errors import StoreError
from workflow.settings import lake

#: The job of `workflow plan --diff`, whose rows are never published: ops/difference.py.
DIFFERENCE = "PlanDiff"

_RUN = re.compile(r"run_id=([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")

#: The folders of a run of TransformUsers.
CLEAN, REJECTED = "outcome=clean", "outcome=rejected"

BATCH_ROWS = 16_384  # about 4 MB of users


def run_url(job: str, date: datetime.date, run_id: uuid.UUID) -> str:
    """The address of a run of a job for Spark, TransformUsers in transform_users: a path or URL."""
    folder = "scratch" if job == DIFFERENCE else re.sub(r"\B(?=[A-Z])", "_", job).lower()
    return f"{root()}/{folder}/partition_date={date}/run_id={run_id}"


def root() -> str:
    """`[lake] url` for Spark."""
    url = lake().url
    return (url if "://" in url else str(Path(url).absolute())).rstrip("/")


def run_ids(job: str, date: datetime.date) -> set[uuid.UUID]:
    """The runs of a job and date in the lake, published or not. Raises StoreError.

    Anything whose name is not that of a run, such as a storage client's marker, is ignored.
    """
    fs, path = _open(run_url(job, date, uuid.UUID(int=0)).rsplit("/", 1)[0])
    selector = pyarrow.fs.FileSelector(path, allow_not_found=True)
    try:
        names = [info.base_name for info in fs.get_file_info(selector)]
    except OSError as exc:
        raise StoreError(f"The lake {path} cannot be read ({exc}); check [lake] url.") from exc
    return {uuid.UUID(found[1]) for name in names if (found := _RUN.fullmatch(name))}


def remove(url: str) -> None:
    """Remove a run, complete or not, if it exists. Raises StoreError."""
    fs, path = _open(url)
    try:
        if fs.get_file_info(path).type != pyarrow.fs.FileType.NotFound:
            fs.delete_dir(path)
    except FileNotFoundError:
        pass
    except OSError as exc:
        raise StoreError(
            f"The Parquet run {url} cannot be removed ({exc}); check [lake] url."
        ) from exc


def _open(url: str) -> tuple[pyarrow.fs.FileSystem, str]:
    fs, path = pyarrow.fs.FileSystem.from_uri(url if "://" in url else Path(url).as_uri())
    return fs, path


class ParquetRun:
    """One Parquet run of a job and date, read with pyarrow.

    Every method raises StoreError when the run or a part of it is missing.
    """

    def __init__(self, url: str, *, job: str, date: datetime.date) -> None:
        self.url = url
        self._made_by = f"{date} --from {job}"
        self._fs, self._path = _open(url)

    def _files(self, folder: str = "") -> list[pyarrow.fs.FileInfo]:
        path = f"{self._path}/{folder}".rstrip("/")
        selector = pyarrow.fs.FileSelector(path, recursive=True, allow_not_found=True)
        files = [
            info for info in self._fs.get_file_info(selector) if info.path.endswith(".parquet")
        ]
        return sorted(files, key=lambda info: info.path)

    @property
    def bytes(self) -> int:
        """Size of all its Parquet files."""
        return sum(info.size for info in self._files())

    def rows(self, folder: str = "") -> int:
        """The number of rows in a folder of the run; 0 without the folder."""
        return sum(file.metadata.num_rows for file in self._parquet_files(folder))

    def batches(self, columns: Sequence[str], folder: str = "") -> Iterator[pa.RecordBatch]:
        """The rows of a folder of the run, in bounded batches of the columns named."""
        with self._translated_errors():
            for file in self._parquet_files(folder):
                for batch in file.iter_batches(BATCH_ROWS, columns=list(columns)):
                    yield batch.select(list(columns))

    def _parquet_files(self, folder: str) -> Iterator[pyarrow.parquet.ParquetFile]:
        with self._translated_errors():
            files = self._files(folder)
            if not files and not self._files():
                raise FileNotFoundError("no Parquet file in it")
            for info in files:
                with self._fs.open_input_file(info.path) as source:
                    yield pyarrow.parquet.ParquetFile(source)

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as exc:
            raise StoreError(
                f"The Parquet run {self.url} cannot be read ({exc}); "
                f"run `workflow rerun {self._made_by}` to make it again."
            ) from exc
