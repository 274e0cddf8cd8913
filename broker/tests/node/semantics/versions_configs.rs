//! ListConfigResources in every version, for the walk of `versions`.

use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};

use super::node::{against_another, unique};
use super::share_groups::set;
use super::versions::Exercise;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;
const UNSUPPORTED_VERSION: i16 = 35;

impl Exercise<'_> {
    pub(super) fn list_config_resources(&mut self, version: i16) {
        let group = unique("listed");
        let set = set(
            self.connection,
            &group,
            "share.auto.offset.reset",
            "earliest",
        );
        assert_eq!(set, 0);
        let mut list = |kinds: &[i8]| -> ListConfigResourcesResponse {
            let request = ListConfigResourcesRequest::default().with_resource_types(kinds.to_vec());
            self.connection.call(version, &request)
        };
        let all = list(&[]);
        assert_eq!(all.error_code, 0);
        if version < 1 {
            // Only subscriptions to clients' metrics, of which there are none.
            assert_eq!(all.config_resources, []);
            return;
        }
        let has = |answer: &ListConfigResourcesResponse, kind: i8, name: &str| {
            let mut rows = answer.config_resources.iter();
            rows.any(|row| (row.resource_type, row.resource_name.as_str()) == (kind, name))
        };
        let groups = list(&[GROUP, GROUP]);
        assert!(
            groups
                .config_resources
                .iter()
                .all(|row| row.resource_type == GROUP)
        );
        assert!(has(&groups, GROUP, &group) && has(&all, GROUP, &group));
        assert_eq!(list(&[1, GROUP]).error_code, UNSUPPORTED_VERSION);
        assert!(has(&all, TOPIC, &self.topic.name));
        assert!(against_another() || has(&all, BROKER, "1"));
    }
}
