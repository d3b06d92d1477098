"""The server-rendered pages: one module a page, thin: parse, get rows through `access`, render."""
