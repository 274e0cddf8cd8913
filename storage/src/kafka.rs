//! What Kafka keeps in a data directory beside its logs and we need when we take one over: where
//! records were deleted up to.
//!
//! It only reads what Kafka wrote; what it learns is kept in the log's own folder, because Kafka's file
//! is of no meaning for a topic of the same name that is made later.

use std::path::Path;

use crate::error::LogError;
use crate::listing::read_if_there;

/// Kafka's file of log start offsets, one for all logs of a directory. Only those are in it that lie
/// above the first segment's base offset.
const KAFKA_FILE: &str = "log-start-offset-checkpoint";

/// Where a log's folder says it: a number. It counts until the log has a checkpoint of its own.
pub(crate) const START_FILE: &str = "log-start-offset";

/// Where Kafka says the log starts; zero if it says nothing.
pub(crate) async fn start_offset(
    directory: &Path,
    topic: &str,
    partition: i32,
) -> Result<i64, LogError> {
    let path = directory.join(KAFKA_FILE);
    let Some(bytes) = read_if_there(&path).await? else {
        return Ok(0);
    };
    match parse(&String::from_utf8_lossy(&bytes), topic, partition) {
        Some(start) => Ok(start.unwrap_or(0)),
        None => Err(LogError::io("understand", &path)(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "it is not as Kafka writes it; restore it, or remove it to have all records that are there",
        ))),
    }
}

/// The start that the folder says.
pub(crate) async fn stored_start(folder: &Path) -> Result<i64, LogError> {
    let text = read_if_there(&folder.join(START_FILE)).await?;
    let text = text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(text.and_then(|text| text.trim().parse().ok()).unwrap_or(0))
}

/// The log's entry, if the file has one. `None` if the file isn't as Kafka writes it.
fn parse(text: &str, topic: &str, partition: i32) -> Option<Option<i64>> {
    let entries = offsets(text)?;
    let mut of_log = entries
        .iter()
        .filter(|(name, number, _)| *name == topic && *number == partition);
    Some(of_log.next_back().map(|(_, _, offset)| *offset))
}

/// A file of offsets, as Kafka keeps several of in a directory: a version, a count, then a line each of
/// topic, partition, offset. `None` if it isn't like that.
pub(crate) fn offsets(text: &str) -> Option<Vec<(&str, i32, i64)>> {
    let mut lines = text.lines();
    if lines.next()?.trim() != "0" {
        return None;
    }
    let count: usize = lines.next()?.trim().parse().ok()?;
    let mut found = Vec::new();
    for _ in 0..count {
        let mut fields = lines.next()?.split_whitespace();
        let (topic, partition, offset) = (fields.next()?, fields.next()?, fields.next()?);
        found.push((topic, partition.parse().ok()?, offset.parse().ok()?));
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_kafkas_is_understood() {
        let text = "0\n2\norders 0 33333\norders 1 7\n";
        assert_eq!(parse(text, "orders", 0), Some(Some(33_333)));
        assert_eq!(parse(text, "orders", 2), Some(None));
        assert_eq!(parse(text, "other", 0), Some(None));
        assert_eq!(parse("0\n0\n", "orders", 0), Some(None));
        for bad in [
            "",
            "1\n0\n",
            "0\nx\n",
            "0\n2\norders 0 1\n",
            "0\n1\norders 0\n",
            "0\n1\norders x 1\n",
        ] {
            assert_eq!(parse(bad, "orders", 0), None, "{bad:?}");
        }
    }
}
