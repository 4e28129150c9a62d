"""A holder whose connection is cut in the middle of its work publishes nothing and says so."""

import contextlib
from typing import Any

from tests.conftest import Pipeline
from tests.days import NOTHING, states, tables
from tests.exactness.processes import until
from tests.exactness.sickness import (
    DATE,
    Command,
    day,
    require_sentence,
    require_whole,
    started,
    undisturbed,
)

STEPS = ("ExtractUsers", "TransformUsers", "ComputeStats", "LoadUsers")


def cut(pipeline: Pipeline, command: Command, step: str) -> None:
    """End the session that holds the lease of a step, while its attempt cannot be over.

    Our lock on the attempt's row keeps it from being published before that.
    """
    with contextlib.closing(pipeline.connect()) as connection, connection.cursor() as cursor:
        connection.autocommit = False

        def locked() -> list[Any]:
            connection.rollback()
            cursor.execute(
                "SELECT 1 FROM extraction_metadata WHERE job = %s AND state = 'running' FOR UPDATE",
                (step,),
            )
            return cursor.fetchall()

        def holders() -> list[Any]:
            return pipeline.rows(
                "SELECT pid FROM pg_stat_activity WHERE application_name LIKE %s "
                "AND datname = current_database()",
                f"{step} {DATE} %",
            )

        command.until(locked, f"{step} works")
        (holder,) = holders()
        assert pipeline.rows("SELECT pg_terminate_backend(%s) AS done", holder.pid)[0].done
        until(lambda: not holders(), f"the session of {step} is gone")


def test_each_step_s_holder_is_cut_off_in_turn(pipeline: Pipeline, full: bool) -> None:
    pipeline.set("source", users_per_day=50_000 if full else 1_000)
    expected = undisturbed(pipeline)
    for number, step in enumerate(STEPS):
        with started(pipeline, *day()) as command:
            cut(pipeline, command, step)
            assert command.ends() != 0
        require_sentence(command.output, "Error: ", "so nothing was published. Run the date again")
        assert tables(pipeline) == NOTHING
        # done in order, each step failed once, and nothing was done again
        done = [pair for name in STEPS[:number] for pair in ((name, "failed"), (name, "succeeded"))]
        assert states(pipeline) == [*done, (step, "failed")]
    pipeline.day(DATE)
    require_whole(pipeline, expected)
