"""The file shares: where packages and cookies travel."""
