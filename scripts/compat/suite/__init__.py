"""The compatibility run: real, unmodified Kafka clients against one broker."""
