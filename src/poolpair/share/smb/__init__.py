"""A share on a file server, spoken to in SMB 3.1.1: encrypted, within bounds of time, in few round trips."""
