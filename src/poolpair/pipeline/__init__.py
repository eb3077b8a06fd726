"""The line: capture -> pack -> deliver ==WAN==> receive -> apply -> acknowledge. One file per verb.

Each step is a function of a `Site` and a channel. A step reads what it needs from the store, acts once, and records what it did in the
store; killed anywhere, it is simply run again. The service runs the steps on a timer, in the order of `cycle`.
"""
