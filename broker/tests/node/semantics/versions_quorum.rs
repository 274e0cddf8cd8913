//! The APIs that change who votes in the quorum, for the walk of `versions`.

use kafka_protocol::messages::*;

use super::node::against_another;
use super::versions::Exercise;
use super::wire::text;

impl Exercise<'_> {
    pub(super) fn add_raft_voter(&mut self, version: i16) {
        let request = AddRaftVoterRequest::default()
            .with_cluster_id(None)
            .with_voter_id(1);
        // DUPLICATE_VOTER
        assert_eq!(self.connection.call(version, &request).error_code, 126);
    }

    pub(super) fn remove_raft_voter(&mut self, version: i16) {
        let request = RemoveRaftVoterRequest::default().with_cluster_id(None);
        let unknown = request.clone().with_voter_id(99);
        // VOTER_NOT_FOUND
        assert_eq!(self.connection.call(version, &unknown).error_code, 127);
        let elsewhere = unknown.with_cluster_id(Some(text("another")));
        // INCONSISTENT_CLUSTER_ID
        assert_eq!(self.connection.call(version, &elsewhere).error_code, 104);
        if !against_another() {
            let last = request.with_voter_id(1);
            assert_eq!(self.connection.call(version, &last).error_code, 42);
        }
    }
}
