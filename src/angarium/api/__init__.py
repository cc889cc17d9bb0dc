"""Defines HTTP requests and responses. Business rules are in `service`, SQL is in `store`."""
