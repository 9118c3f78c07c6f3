"""Optimisation loops, data loading and schedules."""
