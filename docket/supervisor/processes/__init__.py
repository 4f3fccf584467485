"""Worker processes: started, watched, replaced and ended.

It owns the pools and the protocol that they speak with their processes. Which pools there should be is
decided in ``reload``.
"""
