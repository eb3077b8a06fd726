"""Reads a Prosody server's configuration: proposes a pair from it, checks it against one, and tells Prosody whom to serve."""
