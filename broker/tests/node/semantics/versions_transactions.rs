//! Every version of the APIs of transactions, for the walk of `versions`.

use kafka_protocol::messages::*;

use super::groups::coordinated;
use super::transactions::{
    add, begin, end, marker_request, offsets_request, producer, producers_request, transactional_id,
};
use super::versions::Exercise;

impl Exercise<'_> {
    pub(super) fn init_transactional_id(&mut self, version: i16) {
        let id = transactional_id(self.connection, "init");
        let (_, producer, epoch) = begin(self.connection, version, &id);
        assert!(producer.0 >= 0 && epoch == 0, "version {version}");
    }

    pub(super) fn add_partitions_to_txn(&mut self, version: i16) {
        let producer = producer(self.connection, "add");
        let codes = add(
            self.connection,
            version,
            &producer,
            &self.topic.name,
            &[0, 1],
        );
        assert_eq!(codes, [0, 0], "version {version}");
        assert_eq!(end(self.connection, 3, &producer, false).error_code, 0);
    }

    pub(super) fn add_offsets_to_txn(&mut self, version: i16) {
        let group = coordinated(self.connection, "txn");
        let producer = producer(self.connection, "offsets");
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(producer.0.clone())
            .with_producer_id(producer.1)
            .with_producer_epoch(producer.2)
            .with_group_id(group);
        let answer = self.connection.call(version, &request);
        assert_eq!(answer.error_code, 0, "version {version}");
        assert_eq!(end(self.connection, 3, &producer, false).error_code, 0);
    }

    pub(super) fn end_txn(&mut self, version: i16) {
        let producer = producer(self.connection, "end");
        let codes = add(self.connection, 3, &producer, &self.topic.name, &[1]);
        assert_eq!(codes, [0]);
        let answer = end(self.connection, version, &producer, true);
        assert_eq!(answer.error_code, 0, "version {version}");
        let epoch = if version < 5 { -1 } else { producer.2 + 1 };
        assert_eq!(answer.producer_epoch, epoch, "version {version}");
    }

    pub(super) fn write_txn_markers(&mut self, version: i16) {
        let producer = producer(self.connection, "marker");
        let request = marker_request(&producer, &self.topic.name, 1);
        let answer = self.connection.call(version, &request);
        assert_eq!(answer.markers[0].producer_id, producer.1);
        let topic = &answer.markers[0].topics[0];
        assert_eq!(topic.partitions[0].error_code, 0, "version {version}");
    }

    pub(super) fn txn_offset_commit(&mut self, version: i16) {
        let group = coordinated(self.connection, "txn");
        let producer = producer(self.connection, "commit");
        let added = AddOffsetsToTxnRequest::default()
            .with_transactional_id(producer.0.clone())
            .with_producer_id(producer.1)
            .with_producer_epoch(producer.2)
            .with_group_id(group.clone());
        if version < 5 {
            assert_eq!(self.connection.call(3, &added).error_code, 0);
        }
        let request = offsets_request(&producer, &group, &self.topic.name);
        let answer = self.connection.call(version, &request);
        let code = answer.topics[0].partitions[0].error_code;
        assert_eq!(code, 0, "version {version}");
        assert_eq!(end(self.connection, 3, &producer, true).error_code, 0);
    }

    pub(super) fn describe_producers(&mut self, version: i16) {
        let request = producers_request(&self.topic.name, 0);
        let answer = self.connection.call(version, &request);
        let partition = &answer.topics[0].partitions[0];
        assert_eq!(partition.error_code, 0, "version {version}");
        assert_eq!(partition.active_producers, []);
    }

    pub(super) fn describe_transactions(&mut self, version: i16) {
        let producer = producer(self.connection, "describe");
        let request =
            DescribeTransactionsRequest::default().with_transactional_ids(vec![producer.0.clone()]);
        let answer = self.connection.call(version, &request);
        let state = &answer.transaction_states[0];
        assert_eq!((state.error_code, &*state.transaction_state), (0, "Empty"));
        assert_eq!(state.producer_id, producer.1);
    }

    pub(super) fn list_transactions(&mut self, version: i16) {
        let producer = producer(self.connection, "list");
        let request = ListTransactionsRequest::default()
            .with_producer_id_filters(vec![producer.1])
            .with_duration_filter(-1);
        let answer = self.connection.call(version, &request);
        assert_eq!(answer.error_code, 0, "version {version}");
        assert_eq!(answer.transaction_states.len(), 1, "version {version}");
        assert_eq!(answer.transaction_states[0].transactional_id, producer.0);
    }
}
