# SPDX-License-Identifier: Apache-2.0
"""Trains, prunes and exports the phone recogniser that ships with ESE."""
