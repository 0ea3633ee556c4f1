"""Vendor adapters, independent of each other."""
