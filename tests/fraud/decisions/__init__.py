"""Tests of stored decisions: their list, attacks, simulation, feedback."""
