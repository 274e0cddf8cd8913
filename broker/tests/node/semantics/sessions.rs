//! Fetch sessions (KIP-227): what is remembered between the fetches of a connection.

use kafka_protocol::messages::fetch_request::ForgottenTopic;
use kafka_protocol::messages::{FetchRequest, FetchResponse};

use super::node::shared;
use super::records::{
    BY_NAME, PLENTY, Topic, batch, create, fetch_request, spans, store, topic_name, wanted,
};
use super::wire::Connection;

const OFFSET_OUT_OF_RANGE: i16 = 1;
const SESSION_ID_NOT_FOUND: i16 = 70;
const INVALID_SESSION_EPOCH: i16 = 71;
const SESSION_TOPIC_ID_ERROR: i16 = 106;
const LAST: i16 = 18;

/// A session as a client keeps it.
struct Session {
    version: i16,
    id: i32,
    epoch: i32,
}

/// What a partition of an answer has: index, error, high watermark, spans of its batches.
type Told = (i32, i16, i64, Vec<(i64, i64)>);

fn told(response: FetchResponse) -> Vec<Told> {
    let partitions = response
        .responses
        .into_iter()
        .flat_map(|topic| topic.partitions);
    let mut told: Vec<Told> = partitions
        .map(|p| {
            let found = p.records.map(|records| spans(&records)).unwrap_or_default();
            (p.partition_index, p.error_code, p.high_watermark, found)
        })
        .collect();
    told.sort_by_key(|(index, ..)| *index);
    told
}

fn forgotten(version: i16, topic: &Topic, partitions: &[i32]) -> ForgottenTopic {
    let forgotten = ForgottenTopic::default().with_partitions(partitions.to_vec());
    if version > BY_NAME {
        forgotten.with_topic_id(topic.id)
    } else {
        forgotten.with_topic(topic_name(&topic.name))
    }
}

impl Session {
    fn open(connection: &mut Connection, version: i16, first: FetchRequest) -> (Self, Vec<Told>) {
        let response = connection.call(version, &first.with_session_epoch(0));
        assert_eq!(response.error_code, 0);
        assert_ne!(response.session_id, 0, "a session");
        let session = Self {
            version,
            id: response.session_id,
            epoch: 0,
        };
        (session, told(response))
    }

    /// The next fetch, with what changes.
    fn next(&mut self, connection: &mut Connection, change: FetchRequest) -> Vec<Told> {
        self.epoch += 1;
        let request = change
            .with_session_id(self.id)
            .with_session_epoch(self.epoch);
        let response = connection.call(self.version, &request);
        assert_eq!((response.error_code, response.session_id), (0, self.id));
        told(response)
    }
}

fn nothing_changes() -> FetchRequest {
    fetch_request(Vec::new())
}

// Point 37.
#[test]
fn a_session_tells_only_what_is_new() {
    let node = shared();
    let mut connection = node.connect();
    for version in 7..=LAST {
        let topic = create(&mut connection, "news", 3, &[]);
        store(&mut connection, &topic, 1, &batch(2));
        let all = [(0, 0, PLENTY), (1, 0, PLENTY), (2, 0, PLENTY)];
        let first = fetch_request(vec![wanted(version, &topic, &all)]);
        let (mut session, told) = Session::open(&mut connection, version, first);
        let records = vec![(0, 1)];
        let expected = [
            (0, 0, 0, Vec::new()),
            (1, 0, 2, records.clone()),
            (2, 0, 0, Vec::new()),
        ];
        assert_eq!(told, expected, "version {version}");
        // Records that were not moved past are given again.
        let again = session.next(&mut connection, nothing_changes());
        assert_eq!(again, [(1, 0, 2, records)], "version {version}");
        let moved = fetch_request(vec![wanted(version, &topic, &[(1, 2, PLENTY)])]);
        assert_eq!(
            session.next(&mut connection, moved),
            [],
            "version {version}"
        );
        assert_eq!(
            session.next(&mut connection, nothing_changes()),
            [],
            "version {version}"
        );
        store(&mut connection, &topic, 2, &batch(3));
        let news = session.next(&mut connection, nothing_changes());
        assert_eq!(news, [(2, 0, 3, vec![(0, 2)])], "version {version}");
    }
}

// Point 37: a moved high watermark or log start is news of its own.
#[test]
fn moved_offsets_are_news() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "moved", 2, &[]);
    for index in 0..2 {
        store(&mut connection, &topic, index, &batch(4));
    }
    let all = [(0, 4, PLENTY), (1, 4, PLENTY)];
    let first = fetch_request(vec![wanted(BY_NAME, &topic, &all)]);
    let (mut session, told) = Session::open(&mut connection, BY_NAME, first);
    assert_eq!(told, [(0, 0, 4, Vec::new()), (1, 0, 4, Vec::new())]);
    assert_eq!(
        super::retention::delete_before(&mut connection, &topic, 3),
        (0, 3)
    );
    let news = session.next(&mut connection, nothing_changes());
    assert_eq!(
        news,
        [(0, 0, 4, Vec::new())],
        "the log start of partition 0"
    );
    assert_eq!(session.next(&mut connection, nothing_changes()), []);
}

// Point 37.
#[test]
fn forgotten_partitions_are_not_told_and_added_ones_are() {
    let node = shared();
    let mut connection = node.connect();
    for version in [7, BY_NAME, 13, LAST] {
        let topic = create(&mut connection, "forgotten", 3, &[]);
        let other = create(&mut connection, "added", 1, &[]);
        let first = fetch_request(vec![wanted(
            version,
            &topic,
            &[(0, 0, PLENTY), (1, 0, PLENTY)],
        )]);
        let (mut session, _) = Session::open(&mut connection, version, first);
        for index in 0..3 {
            store(&mut connection, &topic, index, &batch(1));
        }
        store(&mut connection, &other, 0, &batch(9));
        let change =
            nothing_changes().with_forgotten_topics_data(vec![forgotten(version, &topic, &[0])]);
        let news = session.next(&mut connection, change);
        assert_eq!(news, [(1, 0, 1, vec![(0, 0)])], "version {version}");
        let change = fetch_request(vec![wanted(version, &other, &[(0, 0, PLENTY)])])
            .with_forgotten_topics_data(vec![forgotten(version, &topic, &[1])]);
        let news = session.next(&mut connection, change);
        assert_eq!(news, [(0, 0, 9, vec![(0, 8)])], "version {version}");
        // Back again, at another place.
        let change = fetch_request(vec![wanted(version, &topic, &[(0, 1, PLENTY)])]);
        let news = session.next(&mut connection, change);
        assert!(
            news.contains(&(0, 0, 1, Vec::new())),
            "version {version}: {news:?}"
        );
    }
}

// Point 37: an error is told again and again, and when it is over, that too.
#[test]
fn errors_are_always_told() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "error", 1, &[]);
    store(&mut connection, &topic, 0, &batch(2));
    let first = fetch_request(vec![wanted(
        BY_NAME,
        &topic,
        &[(0, 2, PLENTY), (8, 0, PLENTY)],
    )]);
    let (mut session, told) = Session::open(&mut connection, BY_NAME, first);
    assert_eq!(told, [(0, 0, 2, Vec::new()), (8, 3, -1, Vec::new())]);
    for _ in 0..2 {
        let news = session.next(&mut connection, nothing_changes());
        assert_eq!(news, [(8, 3, -1, Vec::new())]);
    }
    let change = fetch_request(vec![wanted(BY_NAME, &topic, &[(0, 99, PLENTY)])])
        .with_forgotten_topics_data(vec![forgotten(BY_NAME, &topic, &[8])]);
    let news = session.next(&mut connection, change);
    let codes: Vec<_> = news
        .iter()
        .map(|(index, code, ..)| (*index, *code))
        .collect();
    assert_eq!(codes, [(0, OFFSET_OUT_OF_RANGE)]);
    let change = fetch_request(vec![wanted(BY_NAME, &topic, &[(0, 2, PLENTY)])]);
    assert_eq!(
        session.next(&mut connection, change),
        [(0, 0, 2, Vec::new())],
        "well again"
    );
    assert_eq!(session.next(&mut connection, nothing_changes()), []);
}

fn refusal(connection: &mut Connection, version: i16, id: i32, epoch: i32) -> i16 {
    let request = nothing_changes()
        .with_session_id(id)
        .with_session_epoch(epoch);
    let response = connection.call(version, &request);
    assert_eq!(response.responses, [], "a refused fetch has nothing else");
    response.error_code
}

// Point 37.
#[test]
fn wrong_ids_and_epochs_are_refused() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "wrong", 1, &[]);
    let first = fetch_request(vec![wanted(BY_NAME, &topic, &[(0, 0, PLENTY)])]);
    let (mut session, _) = Session::open(&mut connection, BY_NAME, first);
    let id = session.id;
    for epoch in [2, 5, i32::MAX] {
        assert_eq!(
            refusal(&mut connection, BY_NAME, id, epoch),
            INVALID_SESSION_EPOCH,
            "{epoch}"
        );
    }
    assert_eq!(
        refusal(&mut connection, BY_NAME, 2_000_000_000, 1),
        SESSION_ID_NOT_FOUND
    );
    // The session has not suffered.
    assert_eq!(session.next(&mut connection, nothing_changes()), []);
    assert_eq!(
        refusal(&mut connection, BY_NAME, id, 1),
        INVALID_SESSION_EPOCH,
        "it was used"
    );
    assert_eq!(session.next(&mut connection, nothing_changes()), []);
}

// Point 37: names up to version 12, ids from 13 on; one session has one of them.
#[test]
fn names_and_ids_do_not_mix() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "mixed", 1, &[]);
    for (opened, other) in [(BY_NAME, 13), (13, BY_NAME), (7, LAST), (LAST, 7)] {
        let first = fetch_request(vec![wanted(opened, &topic, &[(0, 0, PLENTY)])]);
        let (session, _) = Session::open(&mut connection, opened, first);
        let code = refusal(&mut connection, other, session.id, 1);
        assert_eq!(code, SESSION_TOPIC_ID_ERROR, "{opened} {other}");
    }
}

// Point 37: epoch -1 ends a session and belongs to none.
#[test]
fn the_last_epoch_closes_a_session() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "close", 1, &[]);
    store(&mut connection, &topic, 0, &batch(2));
    let whole = || fetch_request(vec![wanted(BY_NAME, &topic, &[(0, 0, PLENTY)])]);
    let (session, _) = Session::open(&mut connection, BY_NAME, whole());
    let last = whole().with_session_id(session.id).with_session_epoch(-1);
    let response = connection.call(BY_NAME, &last);
    assert_eq!((response.error_code, response.session_id), (0, 0));
    assert_eq!(told(response), [(0, 0, 2, vec![(0, 1)])]);
    assert_eq!(
        refusal(&mut connection, BY_NAME, session.id, 1),
        SESSION_ID_NOT_FOUND
    );
    // Epoch 0 with the id of another session opens a new one in its place.
    let (session, _) = Session::open(&mut connection, BY_NAME, whole());
    let (newer, told) = Session::open(
        &mut connection,
        BY_NAME,
        whole().with_session_id(session.id),
    );
    assert_ne!(newer.id, session.id);
    assert_eq!(told, [(0, 0, 2, vec![(0, 1)])]);
    assert_eq!(
        refusal(&mut connection, BY_NAME, session.id, 1),
        SESSION_ID_NOT_FOUND
    );
}

// Point 37: without a session everything is told each time.
#[test]
fn fetches_without_a_session_are_told_everything() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "sessionless", 2, &[]);
    for version in 4..=LAST {
        let request = fetch_request(vec![wanted(
            version,
            &topic,
            &[(0, 0, PLENTY), (1, 0, PLENTY)],
        )]);
        for _ in 0..2 {
            let response = connection.call(version, &request);
            assert_eq!((response.error_code, response.session_id), (0, 0));
            assert_eq!(
                told(response),
                [(0, 0, 0, Vec::new()), (1, 0, 0, Vec::new())]
            );
        }
    }
}
