"""The version of the package, read by the build and told to the panel."""

__version__ = "0.1.0"
