"""Tenants' databases: finding, dumping and restoring them."""
