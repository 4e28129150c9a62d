"""The moments at which a process can die, and a launcher that makes it die there.

    python -m tests.exactness.crash_points POINT[:N] -- --module workflow RunDaily …

runs Luigi's own command line in this process and kills it with SIGKILL at POINT, at its N-th
time if one is given. The pipeline has no hook for this: a function is wrapped where it is
looked up, in this process and in its forks, and whatever it does before is really done.
"""

import contextlib
import dataclasses
import datetime
import enum
import functools
import importlib
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

#: No other test runs September's dates through luigid, which remembers a killed worker's tasks.
DATE = datetime.date(2026, 9, 17)

EXTRACT, TRANSFORM, COMPUTE, LOAD = "ExtractUsers", "TransformUsers", "ComputeStats", "LoadUsers"


class When(enum.Enum):
    """The moment of a call at which the process dies."""

    BEFORE = "before the call"
    AFTER = "after it returned"
    ENTERED = "of a context manager: inside, before anything is done there"
    LEAVING = "of a context manager: inside, after all was done there"
    LEFT = "of a context manager: after it was left"
    TAKEN = "of an iterator: `taken` items were taken, and another is asked for"
    HALF = "half of a list of batches is acknowledged, another one is on its way"
    WRITING = "of a Spark job: its first file is there, whole or not"
    BLOCKED = "of ensure_month: the month's table is made, attaching it waits for a lock"


class Victim(enum.Enum):
    """Who is killed when `--workers` makes a fork reach the point."""

    PROCESS = "the process that reached it"
    PARENT = "the process that forked it"
    BOTH = "both"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """A moment at which a process dies.

    step    the step that is at work
    state   for people: what has just become durable, and what has not
    where   `module:function`, where it is looked up
    call    which call of the step, from 1
    inside  count only the calls that this function makes
    taken   see When.TAKEN
    sizes   module constants to lower, so that few users make several batches
    users   users a day, where it must be more than a few
    over    whether an older generation of the date is in the stores
    date    the date to run; one of its own through luigid
    """

    name: str
    step: str
    state: str
    where: str
    when: When
    call: int = 1
    inside: str = ""
    taken: int = 0
    sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    users: int = 140
    over: bool = False
    options: tuple[str, ...] = ("--local-scheduler",)
    victim: Victim = Victim.PROCESS
    date: datetime.date = DATE


LEASE = "workflow.step:take_lease"
ATTEMPT = "workflow.ledger.lease:Lease.attempt"
PUBLISH = "workflow.ledger.lease:Attempt.publishing"
LEDGER_TRANSACTION = "workflow.ledger.lease:transaction"
ENSURE_MONTH = "workflow.stores.warehouse:ensure_month"
COPY = "workflow.stores.warehouse:_copy"
BATCHES = "workflow.stores.raw_store:execute_concurrent"
WRITE_PAGE = "workflow.stores.raw_store:RawStore.write_page"
MANIFEST = "workflow.stores.raw_store:RawStore.publish_manifest"
TRANSFORM_JOB = "workflow.spark.jobs:transform"
STATISTICS_JOB = "workflow.spark.jobs:compute_statistics"

SMALL_BATCHES = {"workflow.stores.raw_store:BATCH_ROWS": 4}  # a page of 20 users is five batches
SMALL_CHUNKS = {"workflow.stores.lake:BATCH_ROWS": 400}  # 3,000 users are eight chunks of COPY

_UNCOMMITTED: dict[str, Any] = {"where": LEDGER_TRANSACTION, "when": When.LEAVING}

POINTS: tuple[Point, ...] = (
    Point(
        name="extract-lease",
        step=EXTRACT,
        state="the lease is taken, nothing is written",
        where=LEASE,
        when=When.ENTERED,
    ),
    Point(
        name="extract-row-uncommitted",
        step=EXTRACT,
        state="the ledger row `running` is written, not committed",
        inside=ATTEMPT,
        **_UNCOMMITTED,
    ),
    Point(
        name="extract-running",
        step=EXTRACT,
        state="the ledger row `running`, nothing else",
        where=ATTEMPT,
        when=When.ENTERED,
    ),
    Point(
        name="extract-before-first-page",
        step=EXTRACT,
        state="the ledger row `running`; the API is about to be asked",
        where="workflow.source.client:Client.pages",
        when=When.BEFORE,
    ),
    Point(
        name="extract-page-in-memory",
        step=EXTRACT,
        state="the first page has come, none of it is written",
        where=WRITE_PAGE,
        when=When.BEFORE,
    ),
    Point(
        name="extract-batches-half",
        step=EXTRACT,
        state="half of the third page's batches are acknowledged, one is on its way",
        where=BATCHES,
        when=When.HALF,
        call=3,
        sizes=SMALL_BATCHES,
    ),
    Point(
        name="extract-page-without-row",
        step=EXTRACT,
        state="all documents of the third page, not the row that says so",
        where=BATCHES,
        when=When.AFTER,
        call=3,
    ),
    Point(
        name="extract-page",
        step=EXTRACT,
        state="three pages of seven",
        where=WRITE_PAGE,
        when=When.AFTER,
        call=3,
    ),
    Point(
        name="extract-over-older",
        step=EXTRACT,
        state="three pages of seven, beside an older generation of the date",
        where=WRITE_PAGE,
        when=When.AFTER,
        call=3,
        over=True,
    ),
    Point(
        name="extract-before-manifest",
        step=EXTRACT,
        state="all pages, no manifest",
        where=MANIFEST,
        when=When.BEFORE,
    ),
    Point(
        name="extract-manifest",
        step=EXTRACT,
        state="the manifest; the ledger row is still `running`",
        where=MANIFEST,
        when=When.AFTER,
    ),
    Point(
        name="extract-uncommitted",
        step=EXTRACT,
        state="the manifest; the ledger row is updated, not committed",
        inside=PUBLISH,
        **_UNCOMMITTED,
    ),
    Point(
        name="extract-committed",
        step=EXTRACT,
        state="the ledger row of the extraction",
        where=PUBLISH,
        when=When.LEFT,
    ),
    Point(
        name="extract-released",
        step=EXTRACT,
        state="the extraction; its lease is released, the next is not taken",
        where=LEASE,
        when=When.LEFT,
    ),
    Point(
        name="transform-lease",
        step=TRANSFORM,
        state="the lease is taken, nothing is written",
        where=LEASE,
        when=When.ENTERED,
    ),
    Point(
        name="transform-running",
        step=TRANSFORM,
        state="the ledger row `running`, nothing else",
        where=ATTEMPT,
        when=When.ENTERED,
    ),
    Point(
        name="transform-before-spark",
        step=TRANSFORM,
        state="the ledger row `running`; Spark is about to begin",
        where=TRANSFORM_JOB,
        when=When.BEFORE,
    ),
    Point(
        name="transform-writing",
        step=TRANSFORM,
        state="the first Parquet file, others not",
        where=TRANSFORM_JOB,
        when=When.WRITING,
    ),
    Point(
        name="transform-writing-many",
        step=TRANSFORM,
        state="the first Parquet file of 20,000 users, others not",
        where=TRANSFORM_JOB,
        when=When.WRITING,
        users=20_000,
    ),
    Point(
        name="transform-written",
        step=TRANSFORM,
        state="all Parquet files; the ledger row is still `running`",
        where=TRANSFORM_JOB,
        when=When.AFTER,
    ),
    Point(
        name="transform-before-publishing",
        step=TRANSFORM,
        state="all Parquet files, counted; the ledger row is still `running`",
        where=PUBLISH,
        when=When.BEFORE,
    ),
    Point(
        name="transform-uncommitted",
        step=TRANSFORM,
        state="all Parquet files; the ledger row is updated, not committed",
        inside=PUBLISH,
        **_UNCOMMITTED,
    ),
    Point(
        name="transform-committed",
        step=TRANSFORM,
        state="the ledger row of the Parquet files",
        where=PUBLISH,
        when=When.LEFT,
    ),
    Point(
        name="transform-released",
        step=TRANSFORM,
        state="the Parquet files; their lease is released, the next is not taken",
        where=LEASE,
        when=When.LEFT,
    ),
    Point(
        name="statistics-running",
        step=COMPUTE,
        state="the ledger row `running`, nothing else",
        where=ATTEMPT,
        when=When.ENTERED,
    ),
    Point(
        name="statistics-before-spark",
        step=COMPUTE,
        state="the ledger row `running`; Spark is about to begin",
        where=STATISTICS_JOB,
        when=When.BEFORE,
    ),
    Point(
        name="statistics-writing",
        step=COMPUTE,
        state="a Parquet file of statistics has just appeared",
        where=STATISTICS_JOB,
        when=When.WRITING,
    ),
    Point(
        name="statistics-written",
        step=COMPUTE,
        state="the statistics in Parquet; the ledger row is still `running`",
        where=STATISTICS_JOB,
        when=When.AFTER,
    ),
    Point(
        name="statistics-uncommitted",
        step=COMPUTE,
        state="the statistics in Parquet; the ledger row is updated, not committed",
        inside=PUBLISH,
        **_UNCOMMITTED,
    ),
    Point(
        name="statistics-committed",
        step=COMPUTE,
        state="the ledger row of the statistics",
        where=PUBLISH,
        when=When.LEFT,
    ),
    Point(
        name="statistics-released",
        step=COMPUTE,
        state="the statistics; their lease is released, the next is not taken",
        where=LEASE,
        when=When.LEFT,
    ),
    Point(
        name="load-running",
        step=LOAD,
        state="the ledger row `running`, nothing else",
        where=ATTEMPT,
        when=When.ENTERED,
    ),
    Point(
        name="load-month-unattached",
        step=LOAD,
        state="the month's table is made, not attached, not committed",
        where=ENSURE_MONTH,
        when=When.BLOCKED,
    ),
    Point(
        name="load-month-uncommitted",
        step=LOAD,
        state="the month's table is made and attached, not committed",
        where="workflow.stores.warehouse:transaction",
        when=When.LEAVING,
        inside=ENSURE_MONTH,
    ),
    Point(
        name="load-month",
        step=LOAD,
        state="the month's empty table",
        where=ENSURE_MONTH,
        when=When.AFTER,
    ),
    Point(
        name="load-deleted",
        step=LOAD,
        state="the older generation is deleted, not committed",
        where=COPY,
        when=When.BEFORE,
        over=True,
    ),
    Point(
        name="load-copying-users",
        step=LOAD,
        state="the first chunks of users are copied, not committed",
        where="workflow.stores.warehouse:_csv_of_batches",
        when=When.TAKEN,
        taken=6,
        users=3_000,
        sizes=SMALL_CHUNKS,
    ),
    Point(
        name="load-copying-users-many",
        step=LOAD,
        state="16,384 of 20,000 users are copied, not committed",
        where="workflow.stores.warehouse:_csv_of_batches",
        when=When.TAKEN,
        taken=1,
        users=20_000,
        over=True,
    ),
    Point(
        name="load-users-copied",
        step=LOAD,
        state="users are replaced, rejects are deleted; not committed",
        where=COPY,
        when=When.BEFORE,
        call=2,
        over=True,
    ),
    Point(
        name="load-rejects-copied",
        step=LOAD,
        state="users and rejects are replaced, statistics are deleted; not committed",
        where=COPY,
        when=When.BEFORE,
        call=3,
        over=True,
    ),
    Point(
        name="load-copied",
        step=LOAD,
        state="all three tables are replaced; no ledger row, not committed",
        where="workflow.stores.warehouse:replace_day",
        when=When.AFTER,
        over=True,
    ),
    Point(
        name="load-uncommitted",
        step=LOAD,
        state="all three tables and the ledger row, not committed",
        inside=PUBLISH,
        **_UNCOMMITTED,
    ),
    Point(
        name="load-over-older-uncommitted",
        step=LOAD,
        state="all three tables are replaced, with the ledger row; not committed",
        inside=PUBLISH,
        over=True,
        **_UNCOMMITTED,
    ),
    Point(
        name="load-committed",
        step=LOAD,
        state="the whole day",
        where=PUBLISH,
        when=When.LEFT,
    ),
    Point(
        name="load-over-older-committed",
        step=LOAD,
        state="the whole day, in the place of an older one",
        where=PUBLISH,
        when=When.LEFT,
        over=True,
    ),
    Point(
        name="load-released",
        step=LOAD,
        state="the whole day; the last lease is released",
        where=LEASE,
        when=When.LEFT,
    ),
    Point(
        name="fork-page",
        step=EXTRACT,
        state="three pages of seven; Luigi sees its fork die",
        where=WRITE_PAGE,
        when=When.AFTER,
        call=3,
        options=("--local-scheduler", "--workers", "2"),
    ),
    Point(
        name="fork-parent",
        step=EXTRACT,
        state="three pages of seven; the fork goes on without its parent",
        where=WRITE_PAGE,
        when=When.AFTER,
        call=3,
        options=("--local-scheduler", "--workers", "2"),
        victim=Victim.PARENT,
    ),
    Point(
        name="fork-parent-loading",
        step=LOAD,
        state="users are replaced; the fork goes on without its parent",
        where=COPY,
        when=When.BEFORE,
        call=2,
        options=("--local-scheduler", "--workers", "2"),
        victim=Victim.PARENT,
        over=True,
    ),
    Point(
        name="fork-both",
        step=TRANSFORM,
        state="all Parquet files; the fork and its parent die",
        where=TRANSFORM_JOB,
        when=When.AFTER,
        options=("--local-scheduler", "--workers", "2"),
        victim=Victim.BOTH,
    ),
    Point(
        name="luigid-page",
        step=EXTRACT,
        state="three pages of seven; luigid still believes in the worker",
        where=WRITE_PAGE,
        when=When.AFTER,
        call=3,
        options=(),
        date=datetime.date(2026, 9, 18),
    ),
    Point(
        name="luigid-fork-loading",
        step=LOAD,
        state="all three tables and the ledger row, not committed; luigid, the fork dies",
        inside=PUBLISH,
        options=("--workers", "2"),
        date=datetime.date(2026, 9, 19),
        **_UNCOMMITTED,
    ),
)
#: Moments that come only where an attempt before left something that nobody can use: the name
#: of the point at which that attempt died, and then the moment.
SWEEPS: tuple[tuple[str, Point], ...] = (
    (
        "extract-page",
        Point(
            name="extract-sweeping",
            step=EXTRACT,
            state="the left-over's documents are removed, its pages are not",
            where="workflow.stores.raw_store:RawStore._execute",
            when=When.AFTER,
            inside="workflow.stores.raw_store:RawStore.remove",
        ),
    ),
    (
        "extract-manifest",
        Point(
            name="extract-swept",
            step=EXTRACT,
            state="the left-over is removed, the ledger does not say so",
            where="workflow.stores.raw_store:RawStore.remove",
            when=When.AFTER,
        ),
    ),
    (
        "transform-written",
        Point(
            name="transform-swept",
            step=TRANSFORM,
            state="the left-over Parquet run is removed, nothing is written yet",
            where="workflow.stores.lake:remove",
            when=When.AFTER,
        ),
    ),
)

BY_NAME = {point.name: point for point in (*POINTS, *(point for _, point in SWEEPS))}


class Trap:
    """Wraps the function of a point, counts its calls, and kills."""

    def __init__(self, point: Point) -> None:
        self._point = point
        self._calls = itertools.count(1)
        self._step = ""
        self._inside = 0
        self._parent = os.getpid()

    def set(self) -> None:
        """From now on, in this process and its forks, the point is deadly."""
        point = self._point
        for size, value in point.sizes.items():
            replace(size, functools.partial(_instead, value))
        replace(point.where, self._deadly)
        if point.inside:
            replace(point.inside, self._noting)
        replace(LEASE, self._following)

    def _kill(self) -> None:
        parent, fork = self._parent, os.getpid()
        if self._point.victim is not Victim.PROCESS:
            os.kill(parent, signal.SIGKILL)
        if self._point.victim is not Victim.PARENT:
            os.kill(fork, signal.SIGKILL)

    def _due(self) -> bool:
        """Whether this call of the wrapped function is the one."""
        if self._step != self._point.step or (self._point.inside and not self._inside):
            return False
        return next(self._calls) == self._point.call

    def _following(self, real: Any) -> Any:
        """`take_lease`, noting which step is at work."""

        @contextlib.contextmanager
        def lease(job: str, *args: Any) -> Iterator[Any]:
            self._step = job
            with real(job, *args) as held:
                yield held
            self._step = ""

        return lease

    def _noting(self, real: Any) -> Any:
        """A function, or what opens a context, noting that it is at work."""

        @functools.wraps(real)
        def noted(*args: Any, **kwargs: Any) -> Any:
            with self._counted():
                result = real(*args, **kwargs)
            return self._noted_context(result) if hasattr(result, "__enter__") else result

        return noted

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    @contextlib.contextmanager
    def _noted_context(self, context: Any) -> Iterator[Any]:
        with self._counted(), context as value:
            yield value

    def _deadly(self, real: Any) -> Any:
        ways: dict[When, Callable[..., Any]] = {
            When.BEFORE: self._before,
            When.AFTER: self._after,
            When.ENTERED: self._context,
            When.LEAVING: self._context,
            When.LEFT: self._context,
            When.TAKEN: self._taken,
            When.HALF: self._half,
            When.WRITING: self._writing,
            When.BLOCKED: self._blocked,
        }
        way = ways[self._point.when]

        @functools.wraps(real)
        def deadly(*args: Any, **kwargs: Any) -> Any:
            return way(real, *args, **kwargs) if self._due() else real(*args, **kwargs)

        return deadly

    def _before(self, real: Any, *args: Any, **kwargs: Any) -> Any:
        self._kill()
        return real(*args, **kwargs)  # where only the parent died

    def _after(self, real: Any, *args: Any, **kwargs: Any) -> Any:
        result = real(*args, **kwargs)
        self._kill()
        return result

    @contextlib.contextmanager
    def _context(self, real: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        when = self._point.when
        with real(*args, **kwargs) as value:
            if when is When.ENTERED:
                self._kill()
            yield value
            if when is When.LEAVING:
                self._kill()
        if when is When.LEFT:
            self._kill()

    def _taken(self, real: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        items = real(*args, **kwargs)
        yield from itertools.islice(items, self._point.taken)
        self._kill()
        yield from items

    def _half(self, real: Any, session: Any, batches: Any, **kwargs: Any) -> None:
        batches = list(batches)
        middle = len(batches) // 2
        real(session, batches[:middle], **kwargs)
        session.execute_async(*batches[middle])
        self._kill()

    def _writing(self, real: Any, *args: Any, output: str, **kwargs: Any) -> Any:
        """The job, watched from another process: in this one the engine may hold the GIL."""
        watched = os.getpid()
        if not os.fork():
            while os.getppid() == watched:
                if any(files for _, _, files in os.walk(output)):
                    os.kill(watched, signal.SIGKILL)
                time.sleep(0.0002)
            os._exit(0)
        return real(*args, output=output, **kwargs)

    def _blocked(self, real: Any, *args: Any, **kwargs: Any) -> Any:
        from workflow.stores.postgres import connect

        with connect("the lock before ATTACH") as lock, connect("the watch") as watch:
            lock.cursor().execute("LOCK TABLE users IN SHARE UPDATE EXCLUSIVE MODE")
            watch.autocommit = True
            threading.Thread(target=self._kill_when_waited_for, args=(watch,), daemon=True).start()
            return real(*args, **kwargs)

    def _kill_when_waited_for(self, watch: Any) -> None:
        cursor = watch.cursor()
        waits = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass"
        while (cursor.execute(waits), cursor.fetchone())[1] is None:
            time.sleep(0.01)
        self._kill()


def _instead(value: object, _real: object) -> object:
    return value


def replace(where: str, make: Callable[[Any], Any]) -> None:
    """Put `make(what is there)` in the place of `module:name` or `module:class.name`."""
    module, _, path = where.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    setattr(owner, name, make(getattr(owner, name)))


def point(text: str) -> Point:
    """The point that POINT or POINT:N names."""
    name, _, call = text.partition(":")
    found = BY_NAME[name]
    return dataclasses.replace(found, call=int(call)) if call else found


def main() -> None:
    """Run Luigi's command line, deadly at one point."""
    name, dashes, *arguments = sys.argv[1:]
    if dashes != "--":
        raise SystemExit("Usage: python -m tests.exactness.crash_points POINT[:N] -- ARGUMENTS")
    from luigi.cmdline import luigi_run

    Trap(point(name)).set()
    luigi_run(arguments)


if __name__ == "__main__":
    main()
