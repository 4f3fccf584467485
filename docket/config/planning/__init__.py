"""Changes of a configuration: what differs, what that means, and the steps that lead there.

It decides and carries nothing out.
"""
