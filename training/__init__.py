"""Trains, prunes and exports the phone recogniser that ships with ESE."""
