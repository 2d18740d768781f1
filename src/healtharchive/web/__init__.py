"""A person asks through a browser or the API: public pages, replay on its own origin."""
