//! How a record is printed: by a template, or as JSON.

use std::io::{self, Write};

use batch::Record;
use serde_json::{Value, json};

use super::line::unescape;

/// What a template is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    KeyLength,
    Value,
    ValueLength,
    Headers,
}

/// How records are printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RecordFormat {
    /// By a template.
    Template(Template),
    /// One JSON object a line.
    Json,
}

/// A template, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

impl Template {
    /// Reads a template: `%t %p %o %T %k %K %v %V %h %%` and escapes such as `\n`; the rest is
    /// printed as it is.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((plain, field)) = rest.split_once('%') {
            if !plain.is_empty() {
                parts.push(Part::Text(unescape(plain)?));
            }
            let mut letters = field.chars();
            parts.push(match letters.next() {
                Some('t') => Part::Topic,
                Some('p') => Part::Partition,
                Some('o') => Part::Offset,
                Some('T') => Part::Timestamp,
                Some('k') => Part::Key,
                Some('K') => Part::KeyLength,
                Some('v') => Part::Value,
                Some('V') => Part::ValueLength,
                Some('h') => Part::Headers,
                Some('%') => Part::Text(b"%".to_vec()),
                _ => return Err("after % comes one of t p o T k K v V h %".to_owned()),
            });
            rest = letters.as_str();
        }
        if !rest.is_empty() {
            parts.push(Part::Text(unescape(rest)?));
        }
        Ok(Self(parts))
    }
}

/// A record and the partition it is from.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) record: &'a Record<'a>,
}

impl RecordFormat {
    /// Prints one record.
    pub(crate) fn print(
        &self,
        shown: Shown<'_>,
        null: &[u8],
        out: &mut impl Write,
    ) -> io::Result<()> {
        match self {
            Self::Json => {
                serde_json::to_writer(&mut *out, &as_json(shown))?;
                out.write_all(b"\n")
            }
            Self::Template(Template(parts)) => parts
                .iter()
                .try_for_each(|part| print_part(part, shown, null, out)),
        }
    }
}

fn print_part(part: &Part, shown: Shown<'_>, null: &[u8], out: &mut impl Write) -> io::Result<()> {
    let record = shown.record;
    let length = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| bytes.len() as i64);
    match part {
        Part::Text(text) => out.write_all(text),
        Part::Topic => out.write_all(shown.topic.as_bytes()),
        Part::Partition => write!(out, "{}", shown.partition),
        Part::Offset => write!(out, "{}", record.offset),
        Part::Timestamp => write!(out, "{}", record.timestamp),
        Part::Key => out.write_all(record.key().unwrap_or(null)),
        Part::KeyLength => write!(out, "{}", length(record.key())),
        Part::Value => out.write_all(record.value().unwrap_or(null)),
        Part::ValueLength => write!(out, "{}", length(record.value())),
        Part::Headers => {
            for (at, header) in record.headers().enumerate() {
                if at > 0 {
                    out.write_all(b",")?;
                }
                out.write_all(header.key)?;
                out.write_all(b"=")?;
                out.write_all(header.value.unwrap_or(null))?;
            }
            Ok(())
        }
    }
}

fn as_json(shown: Shown<'_>) -> Value {
    let record = shown.record;
    let headers: Vec<Value> = record
        .headers()
        .map(|header| json!({"key": String::from_utf8_lossy(header.key), "value": bytes_json(header.value)}))
        .collect();
    json!({
        "topic": shown.topic,
        "partition": shown.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "headers": headers,
        "key": bytes_json(record.key()),
        "value": bytes_json(record.value()),
    })
}

/// Text as text; what isn't UTF-8 as `{"hex": ...}`, so that nothing is lost.
fn bytes_json(bytes: Option<&[u8]>) -> Value {
    let Some(bytes) = bytes else {
        return Value::Null;
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::String(text.to_owned()),
        Err(_) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "hex": hex })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use batch::{Batch, Builder, Compression, DecompressLimit, Header, NewRecord};

    fn printed(format: &RecordFormat, record: NewRecord<'_>) -> String {
        let batch = Builder::new(Compression::None)
            .base_offset(7)
            .record(record)
            .build()
            .unwrap();
        let batch = Batch::parse(&batch).unwrap();
        let records = batch.records(DecompressLimit::bytes(1 << 20)).unwrap();
        let record = records.iter().next().unwrap().unwrap();
        let mut out = Vec::new();
        let shown = Shown {
            topic: "t",
            partition: 3,
            record: &record,
        };
        format.print(shown, b"NULL", &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn templates_print_every_field() {
        let headers = [
            Header {
                key: "a",
                value: Some(b"1"),
            },
            Header {
                key: "b",
                value: None,
            },
        ];
        let record = NewRecord {
            timestamp: 99,
            key: None,
            value: Some(b"v"),
            headers: &headers,
        };
        let template = Template::parse("%t-%p@%o %T [%h] %k(%K)=%v(%V) 100%%\\n").unwrap();
        let text = printed(&RecordFormat::Template(template), record);
        assert_eq!(text, "t-3@7 99 [a=1,b=NULL] NULL(-1)=v(1) 100%\n");
        assert!(Template::parse("%q").is_err());
        assert!(Template::parse("x%").is_err());
        assert!(Template::parse("\\q%v").is_err());
    }

    #[test]
    fn json_loses_nothing() {
        let record = NewRecord {
            timestamp: 99,
            key: Some(b"\xff\x01"),
            value: Some("ü".as_bytes()),
            headers: &[],
        };
        let value: Value = serde_json::from_str(&printed(&RecordFormat::Json, record)).unwrap();
        assert_eq!(value["key"], json!({"hex": "ff01"}));
        assert_eq!(value["value"], "ü");
        assert_eq!(value["offset"], 7);
    }
}
