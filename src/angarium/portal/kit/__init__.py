"""What pages are made of: routes, visits, sessions, forms, texts, templates and charts."""
