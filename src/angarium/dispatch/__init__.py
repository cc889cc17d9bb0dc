"""Sends deliveries: owns shards, schedules lanes, makes attempts and records their outcomes."""
