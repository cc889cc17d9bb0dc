"""Pages and inboxes of Play."""
