"""Names of a docket's keys, for programs that look at them themselves."""

from __future__ import annotations

from .storage.keys import WORKER_GROUP
from .storage.storage import Storage


class KeyNames:
    """The names of a docket's keys; their content is described in ``docket.storage.keys``."""

    storage: Storage

    def key(self, suffix: str) -> str:
        """Return a key of this docket, for data that its users keep beside the work."""
        return self.storage.keys.named(suffix)

    def runs_key(self, task_key: str) -> str:
        """Return the key of the record of an execution."""
        return self.storage.keys.run(task_key)

    @property
    def prefix(self) -> str:
        """Prefix of all keys of this docket."""
        return self.storage.keys.prefix

    @property
    def worker_group_name(self) -> str:
        """The consumer group of the workers."""
        return WORKER_GROUP

    @property
    def queue_key(self) -> str:
        """The key of what is in the future."""
        return self.storage.keys.future

    @property
    def stream_key(self) -> str:
        """The key of what is due in the default queue."""
        return self.storage.keys.stream()

    @property
    def results_collection(self) -> str:
        """Collection of results in a ``result_storage``."""
        return self.key("results")

    @property
    def workers_set(self) -> str:
        """The key of the heartbeats."""
        return self.storage.keys.workers

    def worker_tasks_set(self, worker_name: str) -> str:
        """Return the key of the tasks that a worker knows."""
        return self.storage.keys.worker_tasks(worker_name)

    def task_workers_set(self, task_name: str) -> str:
        """Return the key of the workers that know a task."""
        return self.storage.keys.task_workers(task_name)

    def known_task_key(self, task_key: str) -> str:
        """Return the key that is there while an execution is known: its record."""
        return self.runs_key(task_key)

    def stream_id_key(self, task_key: str) -> str:
        """Return the key that locates an execution on its stream: its record."""
        return self.runs_key(task_key)

    def parked_task_key(self, task_key: str) -> str:
        """Return the key that holds an execution of the future: its record."""
        return self.runs_key(task_key)

    def cancel_channel(self, task_key: str) -> str:
        """Return the channel on which the worker of an execution hears that it is to be cancelled.

        It is the same for all of them; a message is the key of an execution.
        """
        del task_key
        return self.storage.keys.cancellations

    @property
    def redelivery_sweep_key(self) -> str:
        """The key that says until when what each worker holds is its own."""
        return self.key("leases")
