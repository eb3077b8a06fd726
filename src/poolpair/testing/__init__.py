"""A seeded simulator that runs the production steps of two pools with faults, and checks the guarantees after each."""
