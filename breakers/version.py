"""The program's version, told by the API and shown in the pages."""

VERSION = "0.1.0"
