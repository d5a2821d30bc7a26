"""Invoice intake: read invoices, prove their amounts, ask a person about the rest, post them."""
