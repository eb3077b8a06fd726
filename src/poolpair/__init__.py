"""Two pools back each other up through sealed packages dropped in each other's file share."""

__version__ = "0.1.0"
