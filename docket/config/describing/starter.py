"""The file that ``docket config init`` writes: small, complete, and explained."""

from __future__ import annotations

from typing import Final

STARTER: Final = """\
# What `docket-supervisor` runs. Edit it while it runs: a saved change is checked and applied, a bad one is
# refused, and the last good one goes on. `docket config explain tasks.hello.timeout` explains any key.

name = "docket"                        # the namespace in Redis; another one needs a restart
# url = "redis://localhost:6379/0"     # left out: a server of its own, in .docket/ beside this file

[defaults.task]                        # defaults of every task
timeout = "25s"                        # of one attempt
retry   = { attempts = 3, delay = "1s", max_delay = "1m" }

[tasks.hello]                          # a function, as module:name; modules are looked for beside this file
function = "tasks:hello"

# [schedules.greeting]                 # when a task runs by itself
# task   = "hello"
# kwargs = { name = "Jane" }
# every  = "10s"                       # or: cron = "30 2 * * *", with timezone = "Europe/Paris"

[workers.default]                      # equal worker processes; change a number, and save
processes   = 1
concurrency = 10
drain       = "30s"                    # time for running tasks to finish when a worker stops

# [[strikes]]                          # executions struck out instead of being run
# id     = "block-acme"
# task   = "hello"
# when   = { name = { op = "==", value = "acme" } }
# reason = "INC-1234"

# [profiles.dev.workers.default]       # values for --profile dev, or DOCKET_PROFILE=dev
# concurrency = 2
"""
