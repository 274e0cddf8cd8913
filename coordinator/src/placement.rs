//! Which partition of an internal topic a coordinator's key belongs to.

/// Java's `String.hashCode`, over UTF-16.
pub fn java_hash(key: &str) -> i32 {
    let step = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    key.encode_utf16().fold(0, step)
}

/// The partition of a topic with `partitions` of them, at least 1, that has `key`: Kafka's
/// `Utils.abs(key.hashCode) % partitions`.
pub fn partition_for(key: &str, partitions: i32) -> i32 {
    // The one hash without a positive counterpart counts as 0.
    java_hash(key).checked_abs().unwrap_or(0) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_where_kafka_has_them() {
        // As Java computes them.
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("hello"), 99_162_322);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        assert_eq!(partition_for("hello", 50), 22);
        assert_eq!(java_hash("consumers"), -421_004_483);
        assert_eq!(partition_for("consumers", 50), 33);
        assert_eq!(partition_for("polygenelubricants", 50), 0);
    }
}
