"""Reports over a span: how long in which state, how many trips, how soon well again. docs/reports.md defines them."""
