"""The formats (WARC, CDXJ, WACZ), and nothing of ours."""
