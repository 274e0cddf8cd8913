//! Every version of the APIs of share groups, for the walk of `versions`.

use super::share_state::{
    coordinated_share, delete_request, initialize, read, summary_request, write,
};
use super::versions::Exercise;

impl Exercise<'_> {
    /// InitializeShareGroupState, WriteShareGroupState and ReadShareGroupState, of which there is one version each.
    pub(super) fn store_share_state(&mut self) {
        let key = coordinated_share(self.connection, "share", self.topic.id);
        assert_eq!(initialize(self.connection, &key, 1, 4), 0);
        let batches = [(5, 6, 2, 1)];
        assert_eq!(write(self.connection, &key, (1, 3), 5, &batches), 0);
        let stored = read(self.connection, &key, 3);
        assert_eq!(stored, Ok((1, 5, batches.to_vec())));
    }

    pub(super) fn delete_share_state(&mut self, version: i16) {
        let key = coordinated_share(self.connection, "share", self.topic.id);
        let answer = self.connection.call(version, &delete_request(&key));
        assert_eq!(answer.results[0].partitions[0].error_code, 0);
    }

    pub(super) fn read_share_state_summary(&mut self, version: i16) {
        let key = coordinated_share(self.connection, "share", self.topic.id);
        assert_eq!(initialize(self.connection, &key, 2, 4), 0);
        let answer = self.connection.call(version, &summary_request(&key));
        let row = &answer.results[0].partitions[0];
        let told = (row.error_code, row.state_epoch, row.start_offset);
        assert_eq!(told, (0, 2, 4));
    }
}
