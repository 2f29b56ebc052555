"""Several servers over one ledger, in virtual time: what PostgreSQL is to them, and what may befall any of them."""
