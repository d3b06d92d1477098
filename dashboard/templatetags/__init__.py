"""Where Django looks for tags; they are written in `dashboard.pages.tags`."""
