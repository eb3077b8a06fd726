"""The store on SQLite: row triggers, one log row per key group, one counter; rows travel as an attached SQLite file."""
