//! Every version of the APIs of groups, for the walk of `versions`.

use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::*;

use super::groups::{
    commit_request, consumer_request, coordinated, delete_request, fetch_request, join, stable,
    sync_request,
};
use super::records::topic_name;
use super::versions::Exercise;
use super::wire::text;

impl Exercise<'_> {
    pub(super) fn find_coordinator(&mut self, version: i16) {
        let group = coordinated(self.connection, "found");
        let request = FindCoordinatorRequest::default();
        if version < 4 {
            let found = self.connection.call(version, &request.with_key(group.0));
            assert_eq!(found.error_code, 0, "version {version}");
            assert!(found.port > 0);
        } else {
            let keys = vec![group.0.clone(), text("other")];
            let found = self
                .connection
                .call(version, &request.with_coordinator_keys(keys));
            let rows: Vec<_> = found
                .coordinators
                .iter()
                .map(|row| (row.key.as_str(), row.error_code))
                .collect();
            assert_eq!(
                rows,
                [(group.as_str(), 0), ("other", 0)],
                "version {version}"
            );
        }
    }

    pub(super) fn offset_commit(&mut self, version: i16) {
        let group = coordinated(self.connection, "commit");
        let commit = commit_request(&group, &self.topic.name, &[(0, 3), (1, 4)]);
        let answer = self.connection.call(version, &commit);
        let codes: Vec<_> = answer.topics[0]
            .partitions
            .iter()
            .map(|row| (row.partition_index, row.error_code))
            .collect();
        assert_eq!(codes, [(0, 0), (1, 0)], "version {version}");
    }

    pub(super) fn offset_fetch(&mut self, version: i16) {
        let group = coordinated(self.connection, "fetch");
        let commit = commit_request(&group, &self.topic.name, &[(0, 3)]);
        self.connection.call(8, &commit);
        let found = if version < 8 {
            let topic = OffsetFetchRequestTopic::default()
                .with_name(topic_name(&self.topic.name))
                .with_partition_indexes(vec![0]);
            let request = OffsetFetchRequest::default()
                .with_group_id(group)
                .with_topics(Some(vec![topic]));
            let answer = self.connection.call(version, &request);
            assert_eq!(answer.error_code, 0, "version {version}");
            let row = &answer.topics[0].partitions[0];
            (row.committed_offset, row.metadata.clone(), row.error_code)
        } else {
            let request = fetch_request(&group, Some((&self.topic.name, vec![0])));
            let answer = self.connection.call(version, &request);
            assert_eq!(answer.groups[0].error_code, 0, "version {version}");
            let row = &answer.groups[0].topics[0].partitions[0];
            (row.committed_offset, row.metadata.clone(), row.error_code)
        };
        assert_eq!(found, (3, Some(text("note")), 0), "version {version}");
    }

    pub(super) fn join_group(&mut self, version: i16) {
        let group = coordinated(self.connection, "join");
        let joined = join(self.connection, version, &group);
        assert_eq!(
            (joined.error_code, joined.generation_id),
            (0, 1),
            "version {version}"
        );
        assert_eq!(joined.leader, joined.member_id);
        assert_eq!(joined.members[0].metadata, vec![1, 2, 3]);
        assert_eq!(joined.protocol_name, Some(text("range")));
    }

    pub(super) fn sync_group(&mut self, version: i16) {
        let group = coordinated(self.connection, "sync");
        let joined = join(self.connection, 4, &group);
        let request = sync_request(&group, &joined);
        let request = match version {
            ..5 => request,
            _ => request
                .with_protocol_type(Some(text("consumer")))
                .with_protocol_name(Some(text("range"))),
        };
        let synced = self.connection.call(version, &request);
        assert_eq!(synced.error_code, 0, "version {version}");
        assert_eq!(synced.assignment, vec![7, 7]);
    }

    pub(super) fn heartbeat(&mut self, version: i16) {
        let (group, joined) = stable(self.connection, "beat");
        let beat = HeartbeatRequest::default()
            .with_group_id(group)
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id);
        let answer = self.connection.call(version, &beat);
        assert_eq!(answer.error_code, 0, "version {version}");
    }

    pub(super) fn leave_group(&mut self, version: i16) {
        let (group, joined) = stable(self.connection, "leave");
        let request = LeaveGroupRequest::default().with_group_id(group);
        let request = if version < 3 {
            request.with_member_id(joined.member_id)
        } else {
            let member = MemberIdentity::default().with_member_id(joined.member_id);
            request.with_members(vec![member])
        };
        let answer = self.connection.call(version, &request);
        assert_eq!(answer.error_code, 0, "version {version}");
        assert!(answer.members.iter().all(|member| member.error_code == 0));
    }

    pub(super) fn describe_groups(&mut self, version: i16) {
        let (group, joined) = stable(self.connection, "describe");
        let request = DescribeGroupsRequest::default().with_groups(vec![group.clone()]);
        let answer = self.connection.call(version, &request);
        let row = &answer.groups[0];
        assert_eq!((row.error_code, &row.group_id), (0, &group));
        let state = (row.group_state.as_str(), row.protocol_data.as_str());
        assert_eq!(state, ("Stable", "range"), "version {version}");
        let member = &row.members[0];
        assert_eq!(member.member_id, joined.member_id);
        assert_eq!(member.client_id.as_str(), "semantics");
        assert!(
            member.client_host.starts_with('/'),
            "{}",
            member.client_host
        );
        assert_eq!(member.member_assignment, vec![7, 7]);
    }

    pub(super) fn list_groups(&mut self, version: i16) {
        let (group, _) = stable(self.connection, "list");
        let answer = self.connection.call(version, &ListGroupsRequest::default());
        assert_eq!(answer.error_code, 0, "version {version}");
        let row = answer.groups.iter().find(|row| row.group_id == group);
        let row = row.expect("the group");
        assert_eq!(row.protocol_type.as_str(), "consumer");
        if version >= 4 {
            assert_eq!(row.group_state.as_str(), "Stable");
        }
        if version >= 5 {
            assert_eq!(row.group_type.as_str(), "classic");
        }
    }

    pub(super) fn delete_groups(&mut self, version: i16) {
        let group = coordinated(self.connection, "delete");
        let commit = commit_request(&group, &self.topic.name, &[(0, 3)]);
        self.connection.call(8, &commit);
        let request = DeleteGroupsRequest::default().with_groups_names(vec![group.clone()]);
        let answer = self.connection.call(version, &request);
        let row = &answer.results[0];
        assert_eq!((&row.group_id, row.error_code), (&group, 0));
    }

    pub(super) fn offset_delete(&mut self, version: i16) {
        let group = coordinated(self.connection, "offset-delete");
        let commit = commit_request(&group, &self.topic.name, &[(0, 3)]);
        self.connection.call(8, &commit);
        let request = delete_request(&group, &self.topic.name, &[0]);
        let answer = self.connection.call(version, &request);
        assert_eq!(answer.error_code, 0, "version {version}");
        assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    }

    pub(super) fn consumer_heartbeat(&mut self, version: i16) {
        let group = coordinated(self.connection, "consumer");
        let joined = self.connection.call(
            version,
            &consumer_request(&group, &self.topic.name, version),
        );
        assert_eq!(
            (joined.error_code, joined.member_epoch),
            (0, 1),
            "version {version}: {:?}",
            joined.error_message
        );
        let given = joined.assignment.expect("all of it");
        assert_eq!(given.topic_partitions[0].topic_id, self.topic.id);
        assert_eq!(given.topic_partitions[0].partitions, [0, 1]);
    }

    pub(super) fn consumer_describe(&mut self, version: i16) {
        let group = coordinated(self.connection, "described");
        self.connection
            .call(1, &consumer_request(&group, &self.topic.name, 1));
        let names = vec![group.clone()];
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(names);
        let answer = self.connection.call(version, &request);
        let row = &answer.groups[0];
        assert_eq!((row.error_code, &row.group_id), (0, &group));
        assert_eq!(row.members.len(), 1, "version {version}");
        assert_eq!(row.members[0].client_id.as_str(), "semantics");
    }
}
