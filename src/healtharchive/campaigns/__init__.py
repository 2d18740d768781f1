"""What should be crawled, whether it is complete, what is kept."""
