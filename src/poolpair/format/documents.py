"""JSON documents as packages and cookies carry them: `poolpair.documents`, under the name that `format` uses.

The store keeps its values in the same form and may not import from here, so the code stands below both.
"""

from poolpair.documents import decode, encode

__all__ = ["decode", "encode"]
