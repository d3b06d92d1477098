"""The domain: registry, ingest, history, live state, desired state, agent protocol."""
