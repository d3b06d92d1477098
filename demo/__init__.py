"""Small systems that show the panel at work: real processes, real faults, real load.

They use the SDK and the HTTP API as anyone would, and nothing else of the panel.
"""
