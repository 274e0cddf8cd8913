//! `ottla group` as a process, against a broker.

use std::process::{Command, Output};

use kafka_protocol::messages::GroupId;
use serde_json::Value;

use crate::semantics::groups::{commit_request, coordinated, stable};
use crate::semantics::node::{Shared, against_another, shared};
use crate::semantics::records::{Topic, batch, create, produce};
use crate::semantics::share_groups::{assigned, share_request};
use crate::semantics::wire::Connection;

/// A broker, a topic with five records in its first partition and none in the second, and a group that has
/// read two of them.
fn begun() -> (Shared, Connection, Topic, GroupId) {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "group-command", 2, &[]);
    assert_eq!(produce(&mut connection, &topic, 0, &batch(5)).error_code, 0);
    let group = coordinated(&mut connection, "command");
    let commit = commit_request(&group, &topic.name, &[(0, 2), (1, 0)]);
    let answer = connection.call(8, &commit);
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    (node, connection, topic, group)
}

fn ottla(node: &Shared, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    command.arg("group").args(arguments);
    command.arg("--brokers").arg(node.address().to_string());
    command.output().expect("the command runs")
}

/// What it printed, a JSON value a line.
fn told(node: &Shared, arguments: &[&str]) -> Vec<Value> {
    let output = ottla(node, arguments);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {error}");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// What it said when it failed.
fn failed(node: &Shared, arguments: &[&str]) -> String {
    let output = ottla(node, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).expect("text")
}

/// Committed offset, end and lag of a partition, as `describe` tells.
fn place(node: &Shared, group: &GroupId, partition: usize) -> (i64, i64, i64) {
    let described = told(node, &["describe", group, "--json"]).remove(0);
    let row = &described["partitions"][partition];
    let number = |name: &str| row[name].as_i64().unwrap_or(-1);
    (number("committed"), number("end"), number("lag"))
}

#[test]
fn groups_are_listed_and_described_with_their_lag() {
    let (node, mut connection, _, group) = begun();
    let (busy, joined) = stable(&mut connection, "busy");
    let listed = told(&node, &["list", "--json"]);
    let state = |id: &GroupId| {
        let row = listed.iter().find(|row| row["group"] == id.as_str());
        row.and_then(|row| row["state"].as_str()).map(str::to_owned)
    };
    assert_eq!(state(&group).as_deref(), Some("Empty"));
    assert_eq!(state(&busy).as_deref(), Some("Stable"));
    let empty = told(&node, &["list", "--json", "--state", "Empty"]);
    assert!(empty.iter().all(|row| row["state"] == "Empty"));
    assert_eq!(place(&node, &group, 0), (2, 5, 3));
    assert_eq!(place(&node, &group, 1), (0, 0, 0));
    let described = told(&node, &["describe", &busy, "--json"]).remove(0);
    assert_eq!(described["type"], "classic");
    assert_eq!(described["assignor"], "range");
    assert_eq!(described["members"][0]["member"], joined.member_id.as_str());
    let text = String::from_utf8(ottla(&node, &["describe", &group]).stdout).expect("text");
    assert!(text.contains("COMMITTED") && text.contains("LAG"), "{text}");
    assert!(failed(&node, &["describe", "nobody-knows"]).contains("there is none"));
}

#[test]
fn a_group_without_members_is_set_to_other_offsets() {
    let (node, mut connection, topic, group) = begun();
    let first = format!("{}:0", topic.name);
    let moved = told(
        &node,
        &["reset", &group, "--to", "end", "--dry-run", "--json"],
    );
    assert_eq!(
        (&moved[0]["before"], &moved[0]["now"]),
        (&2.into(), &5.into())
    );
    assert_eq!(place(&node, &group, 0).0, 2, "nothing was set");
    for (arguments, expected) in [
        (["--to", "end"], 5),
        (["--by", "-2"], 3),
        (["--to", "beginning"], 0),
        (["--to", "4"], 4),
        (["--to", "-4"], 1),
        (["--by", "100"], 5),
        (["--to", "@0"], 0),
    ] {
        let mut all = vec!["reset", group.as_str(), "--topic", &first];
        all.extend(arguments);
        let output = ottla(&node, &all);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(place(&node, &group, 0).0, expected, "{arguments:?}");
    }
    let missing = format!("{}:7", topic.name);
    let refused = failed(
        &node,
        &["reset", &group, "--topic", &missing, "--to", "end"],
    );
    assert!(refused.contains("no partition 7"), "{refused}");
    let (busy, _) = stable(&mut connection, "busy");
    let refused = failed(&node, &["reset", &busy, "--topic", &first, "--to", "end"]);
    assert!(refused.contains("stop them first"), "{refused}");
    // A group that there isn't is begun so.
    let fresh = format!("{}-fresh", group.as_str());
    told(
        &node,
        &["reset", &fresh, "--topic", &first, "--to", "3", "--json"],
    );
    assert_eq!(place(&node, &GroupId(fresh.into()), 0).0, 3);
}

#[test]
fn offsets_and_groups_are_deleted() {
    let (node, mut connection, topic, group) = begun();
    let second = format!("{}:1", topic.name);
    let output = ottla(&node, &["delete", &group, "--topic", &second]);
    assert!(output.status.success(), "{output:?}");
    let described = told(&node, &["describe", &group, "--json"]).remove(0);
    assert_eq!(described["partitions"].as_array().map(Vec::len), Some(1));
    let (busy, _) = stable(&mut connection, "busy");
    let refused = failed(&node, &["delete", &group, &busy]);
    assert!(refused.contains("NON_EMPTY_GROUP"), "{refused}");
    assert!(failed(&node, &["describe", &group]).contains("there is none"));
    if !against_another() {
        assert!(failed(&node, &["delete", &group]).contains("GROUP_ID_NOT_FOUND"));
    }
}

#[test]
fn share_groups_are_shown_reset_and_deleted() {
    if against_another() {
        return;
    }
    let (node, mut connection, topic, _) = begun();
    let group = coordinated(&mut connection, "command-share");
    assigned(&mut connection, &group, "m", &topic.name, 2);
    let listed = told(&node, &["list", "--json"]);
    let row = listed.iter().find(|row| row["group"] == group.as_str());
    assert_eq!(row.map(|row| &row["type"]), Some(&Value::from("share")));
    let described = told(&node, &["describe", &group, "--json"]).remove(0);
    assert_eq!(described["type"], "share");
    assert_eq!(described["assignor"], "simple");
    assert_eq!(described["members"][0]["member"], "m");
    assert_eq!(described["partitions"][1]["member"], "m");
    assert_eq!(described["partitions"][0]["committed"], Value::Null);
    let place_of = [
        "reset",
        &group,
        "--topic",
        &topic.name,
        "--to",
        "3",
        "--yes",
    ];
    assert!(failed(&node, &place_of).contains("stop them first"));
    assert!(failed(&node, &["delete", &group, "--yes"]).contains("NON_EMPTY_GROUP"));

    let left = connection.call(1, &share_request(&group, "m", -1, None));
    assert_eq!(left.error_code, 0);
    assert!(ottla(&node, &place_of).status.success());
    // As far as its log goes.
    assert_eq!(place(&node, &group, 0), (3, 5, 2));
    assert_eq!(place(&node, &group, 1), (0, 0, 0));
    let some = format!("{}:0", topic.name);
    assert!(failed(&node, &["delete", &group, "--topic", &some, "--yes"]).contains("together"));
    assert!(
        ottla(&node, &["delete", &group, "--topic", &topic.name, "--yes"])
            .status
            .success()
    );
    let described = told(&node, &["describe", &group, "--json"]).remove(0);
    assert_eq!(described["partitions"], Value::Array(Vec::new()));
    assert!(ottla(&node, &["delete", &group, "--yes"]).status.success());
    assert!(failed(&node, &["describe", &group]).contains("there is none"));
}
