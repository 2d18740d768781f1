"""Break it on purpose: the demo and its site."""
