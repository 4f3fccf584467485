"""A call on its way: the task that is meant, arguments that fit, bytes that travel, the result that returns.

It owns what executions and their client have in common. What they offer to users is in ``execution`` and
``docket``, and what Redis holds of them in ``storage``.
"""
