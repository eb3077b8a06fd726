"""Who serves, and how that changes: plans of named steps, carried out by whichever process holds the lease."""
