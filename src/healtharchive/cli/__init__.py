"""A person asks: parse, plan a request, execute, print. No decisions."""
