"""Answers over HTTP, for load balancers and whoever watches: GETs that change nothing and hold no secret."""
