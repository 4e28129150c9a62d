"""Luigi's worker, but it waits for tasks that another process runs.

With a shared luigid, Luigi's own worker exits at once when its tasks run in another process
(with `keep_alive` it would also wait for failed tasks, see docs/decisions/007), and when luigid
was restarted and has forgotten them. This one waits, at most `[lease] wait` for each step, and
then asks the ledger again: the date is done, or it is run.
"""

import logging
import time
from typing import Any

import luigi
from luigi.worker import Worker

from workflow import settings
from workflow.ledger import runs
from workflow.ledger.lease import busy

log = logging.getLogger(__name__)

POLL = 0.3  # s between two requests to luigid

#: How often tasks that luigid has forgotten are rescheduled.
RESCHEDULES_MAX = 3


class PatientWorker(Worker):
    """A worker that ends when its tasks are done, have failed, or the wait for them timed out."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._roots: dict[luigi.Task, tuple[Any, ...]] = {}

    def add(self, task: luigi.Task, *options: Any) -> bool:
        """Schedule a task and what it requires; whether that succeeded."""
        self._roots[task] = options
        return bool(super().add(task, *options))

    def run(self) -> bool:
        """Run the scheduled tasks; False when one failed or the wait for it timed out.

        A failed task does not stop the wait for other dates.
        """
        succeeded, rescheduled = True, 0
        while True:
            succeeded = bool(super().run()) and succeeded  # each call forgets earlier failures
            if self._stop_requesting_work:
                return succeeded
            elsewhere = self._run_elsewhere()
            if elsewhere:
                if not self._wait_for(elsewhere):
                    return False
                rescheduled = 0
            elif not succeeded:
                return False
            elif self._is_done():
                self._add_task_history = self._forget_others()
                return True
            elif rescheduled == RESCHEDULES_MAX or self._could_not_schedule():
                return True
            else:
                rescheduled += 1
                self._reschedule()

    def _run_elsewhere(self) -> dict[str, dict[str, Any]]:
        """Our tasks that other workers run now: by id, what luigid says of them."""
        running = self._scheduler.count_pending(worker=self._id)["running_tasks"]
        return {
            task["task_id"]: task
            for task in running
            if task["worker"] != self._id and task["task_id"] in self._scheduled_tasks
        }

    def _wait_for(self, elsewhere: dict[str, dict[str, Any]]) -> bool:
        """Wait until something changes; whether it did within `[lease] wait`."""
        wait = settings.lease().wait
        holders = ", ".join(map(self._holder, elsewhere.values()))
        log.info("Waiting up to %g s for another process: %s", wait, holders)
        give_up = time.monotonic() + wait
        while time.monotonic() < give_up:
            time.sleep(POLL)
            self._scheduler.prune()  # otherwise luigid takes a minute to notice a killed worker
            if _who(self._run_elsewhere()) != _who(elsewhere):
                return True
        for running in elsewhere.values():
            log.error("Error: %s", busy(*self._step(running), self._holder(running)))
        return False

    def _step(self, running: dict[str, Any]) -> tuple[str, Any]:
        task = self._scheduled_tasks[running["task_id"]]
        return task.task_family, getattr(task, "date", None)

    def _holder(self, running: dict[str, Any]) -> str:
        """Who runs a task: the holder of its lease, otherwise the worker that luigid names."""
        known = f"process {running.get('pid', '?')} on {running.get('host', '?')}"
        job, date = self._step(running)
        return (date and runs.holder(job, date)) or f"{job} {date}, {known}"

    def _is_done(self) -> bool:
        status = {task: status for task, status, _ in self._add_task_history}
        return all(status[root] == "DONE" for root in self._roots)

    def _could_not_schedule(self) -> bool:
        return any(status == "UNKNOWN" for _, status, _ in self._add_task_history)

    def _reschedule(self) -> None:
        """Ask the ledger again, and schedule what is due."""
        ended = self._forget_others()
        self._add_task_history = []  # the summary takes the first task for the root
        for root, options in self._roots.items():
            super().add(root, *options)
        self._add_task_history += ended

    def _forget_others(self) -> list[Any]:
        """The tasks that ended here, for the summary and the exit status."""
        self._get_work_response_history = []
        history = self._add_task_history
        ended = {task for task, status, _ in history if status in ("DONE", "FAILED")}
        return [entry for entry in history if entry[0] in ended]


def _who(running: dict[str, dict[str, Any]]) -> set[tuple[str, str]]:
    return {(task_id, task["worker"]) for task_id, task in running.items()}
