"""The shipped profiles, one TOML file each; `profile = "prosody"` in a pool file names `prosody.toml`."""
