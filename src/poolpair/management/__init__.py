"""The central management store: versioned documents, one pool at a time holds it, every server has a replica."""
