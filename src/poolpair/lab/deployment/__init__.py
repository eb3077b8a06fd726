"""A whole deployment on one machine: four pools in two pairs, one management store; `poolpair lab` starts, breaks and ends it."""
