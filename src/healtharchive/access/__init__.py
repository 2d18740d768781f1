"""From WARC to answer: index, search, replay, compare, export. Only the indexer writes."""
