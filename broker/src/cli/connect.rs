//! The arguments every command that talks to a broker has.

use std::time::Duration;

use clap::Args;
use net::client::{Client, ClientConfig};

use super::failure::Failure;

/// Which brokers to talk to.
#[derive(Args, Clone, Debug)]
pub(crate) struct BrokerArgs {
    /// Brokers to begin with; the first that answers is used
    #[arg(
        short,
        long,
        value_name = "HOST:PORT,...",
        env = "OTTLA_BROKERS",
        default_value = "127.0.0.1:9092"
    )]
    pub(crate) brokers: String,
    /// How long to wait for an answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
}

impl BrokerArgs {
    /// A client of those brokers.
    pub(crate) fn connect(&self) -> Result<Client, Failure> {
        let timeout = Duration::from_secs(self.timeout);
        let config = ClientConfig {
            client_id: "ottla-cli".to_owned(),
            connect_timeout: timeout.min(Duration::from_secs(5)),
            request_timeout: timeout,
            retry_for: timeout,
            ..ClientConfig::new(&self.brokers)
        };
        Ok(Client::connect(config)?)
    }
}
