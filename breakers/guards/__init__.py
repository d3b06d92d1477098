"""Limits on control: what a call of a person or a key would touch, and whether it may.

`judge` decides and knows no database; `leave` looks, under the locks of those who would be touched, and acts;
`approvals` is what becomes of a call that needs a second person. Every control call of a person or key goes
through `leave`, whether it touches one breaker or many.
"""
