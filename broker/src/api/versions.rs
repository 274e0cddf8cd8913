//! ApiVersions (key 18): what this broker serves, in which versions.
//!
//! It is the one request that is answered at a version the broker does not know: in version 0, so
//! that a newer client can read which versions there are (KIP-511).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::{
    ApiVersion, FinalizedFeatureKey, SupportedFeatureKey,
};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;
use net::registry::ADVERTISED;

/// Answers a request of a known version.
pub(super) fn answer(request: &ApiVersionsRequest, version: i16) -> ApiVersionsResponse {
    let named = [
        &request.client_software_name,
        &request.client_software_version,
    ];
    let mut response = ApiVersionsResponse::default();
    if version >= 3 && !named.iter().all(|name| is_software_name(name)) {
        response.error_code = ResponseError::InvalidRequest.code();
        return response;
    }
    response.api_keys = ADVERTISED.iter().map(range).collect();
    response.supported_features = FEATURES.iter().map(|one| supported(one, version)).collect();
    response.finalized_features = FEATURES.iter().map(finalized).collect();
    response.finalized_features_epoch = 0;
    response
}

/// The answer, in version 0, to a version that is not served.
pub(super) fn unsupported() -> ApiVersionsResponse {
    let own = ADVERTISED.iter().filter(|api| api.key == 18);
    ApiVersionsResponse::default()
        .with_error_code(ResponseError::UnsupportedVersion.code())
        .with_api_keys(own.map(range).collect())
}

/// A feature that clients ask for beside the APIs (KIP-584), switched on at its greatest level.
struct Feature {
    name: &'static str,
    max: i16,
}

const FEATURES: &[Feature] = &[
    Feature {
        // 1: groups of the consumer protocol (KIP-848).
        name: "group.version",
        max: 1,
    },
    Feature {
        // 1: share groups (KIP-932).
        name: "share.version",
        max: 1,
    },
    Feature {
        // 2: transactions V2 (KIP-890), in which each has an epoch of its own.
        name: "transaction.version",
        max: 2,
    },
];

/// The first version whose readers know that a feature's least level may be 0, off.
const LEVEL_0_SINCE: i16 = 4;

fn supported(feature: &Feature, version: i16) -> SupportedFeatureKey {
    SupportedFeatureKey::default()
        .with_name(StrBytes::from_static_str(feature.name))
        .with_min_version(i16::from(version < LEVEL_0_SINCE))
        .with_max_version(feature.max)
}

fn finalized(feature: &Feature) -> FinalizedFeatureKey {
    FinalizedFeatureKey::default()
        .with_name(StrBytes::from_static_str(feature.name))
        .with_min_version_level(feature.max)
        .with_max_version_level(feature.max)
}

fn range(api: &net::registry::ApiRange) -> ApiVersion {
    ApiVersion::default()
        .with_api_key(api.key)
        .with_min_version(api.min)
        .with_max_version(api.max)
}

/// Whether a client's name or version is as KIP-511 wants it:
/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`.
fn is_software_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let inner = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-' || *b == b'.';
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => {
            first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() && bytes.iter().all(inner)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_are_checked() {
        for good in ["a", "librdkafka", "apache-kafka-java", "4.1.0", "a.-b"] {
            assert!(is_software_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", ".", "a b", "a\u{e4}", "a_b"] {
            assert!(!is_software_name(bad), "{bad}");
        }
    }

    #[test]
    fn an_unknown_version_is_told_only_the_range_of_this_api() {
        let response = unsupported();
        assert_eq!(response.error_code, 35);
        assert_eq!(response.api_keys.len(), 1);
        assert_eq!(response.api_keys[0].api_key, 18);
    }
}
