"""A pair on one machine, as real processes: the demo, and what acceptance tests drive."""
