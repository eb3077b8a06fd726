"""Commands of the operator's that run at named steps: a port and its adapters."""
