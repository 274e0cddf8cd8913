//! Holds `docs/configuration.md` against the tables: what stands between its markers is made from
//! them. To write it anew: `WRITE_DOCS=1 cargo test -p broker --lib config::doc_tests`.

use std::fmt::Write as _;
use std::path::Path;

use super::def::{Def, Effect};
use super::group::GROUP_ROWS;
use super::node::{OWN, env_name};
use super::topic::{TOPIC_ROWS, TopicRow};
use super::{broker, topic};
use crate::cli::exit;

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn code(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("`{}`", cell(text))
    }
}

fn default(def: &Def) -> String {
    match def.default {
        None => "null".to_owned(),
        Some("") => "empty".to_owned(),
        Some(text) => code(text),
    }
}

fn effect(def: &Def) -> &'static str {
    match def.effect {
        Effect::Honoured => "yes",
        Effect::Stored => "stored",
    }
}

fn node_table() -> String {
    let mut table =
        "| in the file | flag | environment | default | meaning |\n|--|--|--|--|--|\n".to_owned();
    for own in OWN {
        let env = env_name(own.name);
        writeln!(
            table,
            "| `{}` | `{}` | `{env}` | {} | {} |",
            own.name,
            own.flag,
            cell(own.default),
            cell(own.doc)
        )
        .unwrap();
    }
    table
}

fn overriding_table(rows: &[TopicRow]) -> String {
    let mut table =
        "| name | type | default | valid | default from | in force | meaning |\n|--|--|--|--|--|--|--|\n".to_owned();
    for row in rows {
        let def = &row.def;
        let from: Vec<String> = row
            .synonyms
            .iter()
            .map(|synonym| code(synonym.name))
            .collect();
        writeln!(
            table,
            "| `{}` | {} | {} | {} | {} | {} | {} |",
            def.name,
            def.kind.name(),
            default(def),
            cell(&def.range()),
            from.join(", "),
            effect(def),
            cell(def.doc)
        )
        .unwrap();
    }
    table
}

fn broker_table() -> String {
    let mut table =
        "| name | type | default | valid | changed | in force | meaning |\n|--|--|--|--|--|--|--|\n".to_owned();
    let mut rows: Vec<_> = broker::rows().collect();
    rows.sort_by_key(|row| row.def.name);
    for row in rows {
        let def = &row.def;
        writeln!(
            table,
            "| `{}` | {} | {} | {} | {} | {} | {} |",
            def.name,
            def.kind.name(),
            default(def),
            cell(&def.range()),
            row.update.name(),
            effect(def),
            cell(def.doc)
        )
        .unwrap();
    }
    table
}

fn exit_table() -> String {
    let mut table = "| code | meaning |\n|--|--|\n".to_owned();
    for (code, meaning) in exit::ALL {
        writeln!(table, "| {code} | {meaning} |").unwrap();
    }
    table
}

fn filled(text: &str) -> String {
    let mut filled = text.to_owned();
    let tables = [
        ("node", node_table()),
        ("topic", overriding_table(TOPIC_ROWS)),
        ("group", overriding_table(GROUP_ROWS)),
        ("broker", broker_table()),
        ("exit", exit_table()),
    ];
    for (name, table) in tables {
        let (begin, end) = (
            format!("<!-- {name}: begin -->\n"),
            format!("<!-- {name}: end -->"),
        );
        let from = filled.find(&begin).unwrap_or_else(|| panic!("no {begin}")) + begin.len();
        let to = filled.find(&end).unwrap_or_else(|| panic!("no {end}"));
        filled.replace_range(from..to, &table);
    }
    filled
}

#[test]
fn the_documentation_has_the_tables_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let expected = filled(&text);
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let differs = text
        .lines()
        .zip(expected.lines())
        .find(|(there, wanted)| there != wanted);
    assert!(
        text == expected || std::env::var_os("WRITE_DOCS").is_some(),
        "docs/configuration.md is not that of the code; run this test with WRITE_DOCS=1. First: {differs:?}"
    );
}

#[test]
fn what_is_honoured_is_what_the_typed_settings_read() {
    for name in [
        "retention.ms",
        "segment.bytes",
        "max.message.bytes",
        "min.insync.replicas",
    ] {
        assert!(topic::honoured().any(|honoured| honoured == name), "{name}");
    }
    // A topic setting that does something takes its default from broker settings that do.
    for row in TOPIC_ROWS
        .iter()
        .filter(|row| row.def.effect == Effect::Honoured)
    {
        for synonym in row.synonyms {
            assert!(
                broker::honoured().any(|honoured| honoured == synonym.name),
                "{}",
                synonym.name
            );
        }
    }
}
