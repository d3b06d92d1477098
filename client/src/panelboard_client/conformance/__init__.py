"""Plays the panel against an agent under test, and says rule by rule which rules of the agent protocol it keeps.

    python -m panelboard_client.conformance [--json] [-- COMMAND THAT STARTS THE AGENT]

The rules have the names that `docs/agent-protocol.md` gives them. Needs nothing of the agent but a URL and a key:
what is to happen is brought about by the protocol itself.
"""
