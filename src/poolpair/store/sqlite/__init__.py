"""The store on SQLite: row triggers that add to a log, one counter; rows travel as an attached SQLite file."""
