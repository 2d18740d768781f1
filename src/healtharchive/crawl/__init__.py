"""One attempt's child process: URLs in, sealed WARCs and progress lines out. It has no database of ours."""
