"""From records to rows, from rows to tables and figures."""
