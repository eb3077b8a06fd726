"""The store on PostgreSQL: statement triggers, an append-only log per table, tokens that name snapshots; rows travel as COPY text."""
