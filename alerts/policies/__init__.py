"""Policies: what overrides breakers by itself, and only within narrow bounds (decision 0015).

`fleet` decides and does nothing else; `judge` asks it within the evaluator's claim and carries out what it
says, through the same verbs as people.
"""
