"""Every key that a docket owns in Redis: type, content, writer and lifetime, in one place.

====================================  ============  ==============================================
Key                                   Type          Holds
====================================  ============  ==============================================
``P:stream`` ``P:stream:<queue>``     stream        what is due: key and generation, nothing else
``P:queue``                           sorted set    what is in the future: key by due time in ms
``P:runs:<key>``                      hash          the one copy of an execution
``P:results:<key>``                   string, TTL   the result or the failure
``P:stored``                          hash          bytes that results take, by how long they are kept
``P:stored:<ms>``                     sorted set    results by when they go: size and key
``P:evicted``                         hash, TTL     how many results were evicted, and when the last one was
``P:kept:<collection>:<key>``         string        what programs keep in ``result_storage``
``P:progress:<key>``                  hash          current, total, message
``P:expiring``                        sorted set    what must begin, by the moment until when, in ms
``P:dead``                            sorted set    dead letters by when their records go
``P:parked``                          sorted set    parked executions by the time of their parking
``P:parked:<reason>:<task>``          sorted set    those for one reason, of one task (by one rule if struck)
``P:parked-groups``                   set           the ``<reason>:<task>`` of which anything is parked
``P:paused-queues``                   hash          queues of which nothing is started, and who wants that
``P:queues``                          set           every queue that ever got work ('' is the default one)
``P:strikes``                         hash          rules by identity, and their version
``P:routes``                          hash          the queue of each task that has one of its own
``P:schemas``                         hash          which shape the arguments of a task have, if not the first
``P:schedules``                       hash          definition, timing and next time of each schedule
``P:schedule:<schedule>``             hash          what has happened to it: last run, pause, what was skipped
``P:paused``                          set           schedules that may be paused: an index of the hash before
``P:outcomes:<schedule>``             list          what became of its last 50 due times, the latest first
``P:ran:<schedule>``                  sorted set    its last 5,000 due times that had a run
``P:pending:<schedule>``              sorted set    its runs that are not over, by when they were accepted
``P:staged:<owner>:<token>``          hash          what follows a commit: schedules, strikes on arguments
``P:staging:<owner>``                 hash          how far that has followed
``P:removing``                        hash          schedules whose pending runs are being cancelled
``P:configuration:<owner>``           hash          the active configuration, and its revision
``P:revisions:<owner>``               list          the last configurations, the newest first
``P:leader:<owner>``                  string, TTL   the supervisor that ticks the schedules
``P:supervisors``                     hash          how each supervisor stands, and when it said so
``P:workers``                         sorted set    workers by their last heartbeat in ms
``P:worker-tasks:<worker>``           set           the tasks that a worker knows
``P:worker-shapes:<worker>``          hash          what each of its tasks can be called with
``P:codecs``                          hash          what each worker reads
``P:worker-queues``                   hash          the queues that each worker serves
``P:worker-code``                     hash          the start of each worker, the code that it runs, its slots
``P:task-workers:<task>``             set           the workers that know a task
``P:bell`` ``P:bell:<queue>``         list          at most one token: wakes one idle worker
``P:format``                          string        the format of all this: another one is refused
``P:fence``                           string        up to where fences were handed out, or may have been
``P:slots:<limit>``                   sorted set    who holds the slots of a concurrency limit, and since when
``P:holding``                         hash          the limits of which an acceptance holds a slot
``P:orphans:<consumer>``              set           superseded runs of a consumer that still hold slots
``P:limits``                          hash          the active slots of announced limits, and who says so
``P:waiters:<limit>``                 sorted set    who waits for a slot, the longest first
``P:waiting``                         sorted set    all who wait for a slot
``P:sizes``                           hash          the slots of each limit that somebody waits for
``P:cooldown:<name>``                 string, TTL   who has started within the window
``P:rate:<name>``                     sorted set    starts within the window of a rate limit
``P:moments:<name>``                  sorted set    moments of that rate that are given away
``P:debounce:<name>``                 hash          who will run when submissions have settled
``P:leases``                          sorted set    lives of workers by the end of their leases in ms
``P:lost`` ``P:lost:<queue>``         sorted set    lives of workers that held work when their leases ended
``P:suspects`` ``P:suspects:<queue>`` sorted set    runs that were in flight in a process that died
``P:quarantine`` ``…:<queue>``        string, TTL   the worker that runs suspects only
``P:death:<consumer>``                string, TTL   how the process of a worker has died
``P:requests:<worker>``               string, TTL   the latest question to a worker
``P:answers:<id>``                    string, TTL   its answer
``P:history``                         stream, TTL   what did not complete, and each attempt that has failed
``P:history:completed``               stream, TTL   what completed
``P:trimmed``                         hash, TTL     why the oldest entries of a stream are gone: age or memory
``P:series:<resolution>:<task>``      hash, TTL     how many runs have ended how, by time; how long they took
``P:series:tasks``                    sorted set    the tasks with series, by their last minute; has a TTL
``P:series:seen:<consumer>``          string, TTL   the last batch that a worker has added
``P:audit``                           stream, TTL   deeds of operators, within the bounds of [audit]
``P:clock``                           string        how far time was moved, at a throw-away server
====================================  ============  ==============================================

``P`` is the prefix: the docket's name, in braces on a cluster so that all keys share a slot. No live
work carries a time to live; everything else that is kept per execution does.

Channels: ``P:state:<key>`` and ``P:progress:<key>`` (events of one execution), ``P:cancellations``
(keys that running workers shall stop), ``P:strikes`` (a new version of the rules),
``P:requests:<worker>`` (a question to one worker).

``P:none`` and ``P:none2`` never exist: scripts ask for them to see whether the slot is moving.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DEFAULT_QUEUE = "default"
WORKER_GROUP = "docket-workers"

_GLOB = re.compile(r"[*?\[\]^\\]")
"""Characters with a meaning in a pattern of keys, which they must not have in a name."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys under one prefix.

    Arguments:
        prefix: what all of them begin with.
        history: how much is remembered of what has ended, as scripts read it; empty is nothing.
        results: the bytes that results may take, as scripts read it; empty if there is no limit.
    """

    prefix: str
    history: str = ""
    results: str = ""

    def named(self, suffix: str) -> str:
        """Return a key of this docket, for anything that its users keep beside the work."""
        return f"{self.prefix}:{suffix}"

    @property
    def pattern(self) -> str:
        """The pattern of all keys of this docket."""
        return _GLOB.sub(r"\\\g<0>", f"{self.prefix}:") + "*"

    def stream(self, queue: str = DEFAULT_QUEUE) -> str:
        """Return the stream of what is due in a queue."""
        return self.named("stream" if queue == DEFAULT_QUEUE else f"stream:{queue}")

    def bell(self, queue: str = DEFAULT_QUEUE) -> str:
        """Return the list whose token wakes one idle worker of a queue."""
        return self.named("bell" if queue == DEFAULT_QUEUE else f"bell:{queue}")

    @property
    def leases(self) -> str:
        """The lives of workers by the end of their leases."""
        return self.named("leases")

    def suspects(self, queue: str = DEFAULT_QUEUE) -> str:
        """Return the index of the runs that were in flight in a process that died."""
        return self.named("suspects" if queue == DEFAULT_QUEUE else f"suspects:{queue}")

    @property
    def future(self) -> str:
        """The index of what is scheduled; also the key that routes every script of this docket."""
        return self.named("queue")

    def run(self, key: str) -> str:
        """Return the key of the one copy of an execution."""
        return self.named(f"runs:{key}")

    def result(self, key: str) -> str:
        """Return the key of the result or the failure of an execution."""
        return self.named(f"results:{key}")

    @property
    def stored(self) -> str:
        """The bytes that results take, by how long they are kept."""
        return self.named("stored")

    @property
    def evicted(self) -> str:
        """The number of results that were evicted, and the time of the last one."""
        return self.named("evicted")

    def kept(self, collection: str, key: str) -> str:
        """Return the key of what a program keeps beside the work."""
        return self.named(f"kept:{collection}:{key}")

    def progress(self, key: str) -> str:
        """Return the key of the progress of an execution; also the channel of its changes."""
        return self.named(f"progress:{key}")

    def state(self, key: str) -> str:
        """Return the channel of the states of an execution."""
        return self.named(f"state:{key}")

    @property
    def dead(self) -> str:
        """The index of dead letters."""
        return self.named("dead")

    @property
    def parked(self) -> str:
        """The index of parked executions."""
        return self.named("parked")

    def parked_group(self, group: str) -> str:
        """Return the index of what is parked for one reason and of one task."""
        return self.named(f"parked:{group}")

    @property
    def parked_groups(self) -> str:
        """The reasons for which, and the tasks of which, anything is parked."""
        return self.named("parked-groups")

    @property
    def waiting(self) -> str:
        """All executions that wait for a slot of a concurrency limit."""
        return self.named("waiting")

    @property
    def queues(self) -> str:
        """The names of all queues that ever got work."""
        return self.named("queues")

    @property
    def strikes(self) -> str:
        """The rules; also the channel of their changes."""
        return self.named("strikes")

    @property
    def paused_queues(self) -> str:
        """The pauses of queues, by their names."""
        return self.named("paused-queues")

    @property
    def routes(self) -> str:
        """The queue of new executions of each task where it is not the default one."""
        return self.named("routes")

    @property
    def schemas(self) -> str:
        """The shape of the arguments of each task where it is not the first one."""
        return self.named("schemas")

    @property
    def schedules(self) -> str:
        """Definitions and times of the schedules."""
        return self.named("schedules")

    def schedule(self, name: str) -> str:
        """Return the key of what has happened to a schedule; its name is owner/name."""
        return f"{self.prefix}:schedule:{name}"

    def outcomes(self, name: str) -> str:
        """Return the key of the outcomes of the last due times of a schedule."""
        return f"{self.prefix}:outcomes:{name}"

    def ran(self, name: str) -> str:
        """Return the key of the due times of a schedule that had a run."""
        return f"{self.prefix}:ran:{name}"

    def staged(self, owner: str, token: str) -> str:
        """Return the key of what is to follow a commit."""
        return self.named(f"staged:{owner}:{token}")

    def configuration(self, owner: str) -> str:
        """Return the key of the active configuration."""
        return self.named(f"configuration:{owner}")

    def revisions(self, owner: str) -> str:
        """Return the key of the last configurations."""
        return self.named(f"revisions:{owner}")

    @property
    def supervisors(self) -> str:
        """The state of each supervisor."""
        return self.named("supervisors")

    @property
    def history_of_failures(self) -> str:
        """The ends of what did not complete, and each attempt that has failed."""
        return self.named("history")

    @property
    def history_of_completed(self) -> str:
        """The ends of what completed."""
        return self.named("history:completed")

    @property
    def trimmed(self) -> str:
        """Reasons why the oldest entries of streams are gone."""
        return self.named("trimmed")

    def series(self, resolution: str, task: str) -> str:
        """Return the key of the ends of a task in one resolution, by time."""
        return self.named(f"series:{resolution}:{task}")

    @property
    def series_tasks(self) -> str:
        """The tasks that have series."""
        return self.named("series:tasks")

    @property
    def audit(self) -> str:
        """The deeds of operators."""
        return self.named("audit")

    @property
    def workers(self) -> str:
        """The heartbeats."""
        return self.named("workers")

    def worker_tasks(self, worker: str) -> str:
        """Return the key of the tasks that a worker knows."""
        return self.named(f"worker-tasks:{worker}")

    def worker_shapes(self, worker: str) -> str:
        """Return the key of what the tasks of a worker can be called with."""
        return self.named(f"worker-shapes:{worker}")

    @property
    def codecs(self) -> str:
        """The codecs that workers read."""
        return self.named("codecs")

    @property
    def worker_queues(self) -> str:
        """The queues that workers serve."""
        return self.named("worker-queues")

    @property
    def worker_code(self) -> str:
        """The times at which workers have started, and fingerprints of their code."""
        return self.named("worker-code")

    def task_workers(self, task: str) -> str:
        """Return the key of the workers that know a task."""
        return self.named(f"task-workers:{task}")

    def requests(self, worker: str) -> str:
        """Return the key of the latest question to a worker; also the channel where it is called out."""
        return self.named(f"requests:{worker}")

    def answer(self, identity: str) -> str:
        """Return the key of the answer to a question."""
        return self.named(f"answers:{identity}")

    @property
    def cancellations(self) -> str:
        """The channel that tells workers which running executions to cancel."""
        return self.named("cancellations")
