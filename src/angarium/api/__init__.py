"""HTTP: what requests and answers look like. Rules of the business live in `service`, SQL in `store`."""
