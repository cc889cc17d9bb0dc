"""From the table to the receiver: shards owned, lanes gone round, attempts made, outcomes completed."""
