"""`up`: the whole system in the foreground, its embedded servers included."""
