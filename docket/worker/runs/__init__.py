"""Runs of executions: from a claim to an outcome.

It owns the slots, the threads and the decision how a run has ended. Writing that down is the business of
``services``.
"""
