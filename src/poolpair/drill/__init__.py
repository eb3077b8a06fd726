"""The drill: a disaster failover rehearsed on a copy, with the production steps, while production goes on."""
