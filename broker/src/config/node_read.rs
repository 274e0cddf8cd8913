//! Reading each of our own settings out of what was collected, with an error that names place and
//! value.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::amount::{Amount, NoAmount};
use super::broker;
use super::def::Overrides;
use super::machine::Machine;
use super::node::{HostPort, Internal, LogFormat, NodeError, OWN, Origin, QuorumMember};
use super::node_sources::{Collected, Given};

/// Reads our own settings out of what was collected.
pub(super) struct Reader<'a> {
    pub(super) collected: &'a Collected,
}

impl Reader<'_> {
    pub(super) fn given(&self, name: &str) -> Option<&Given> {
        self.collected.values.get(name).map(|(given, _)| given)
    }

    /// What was given, or the default of the table.
    pub(super) fn text(&self, name: &str) -> String {
        let default = || {
            OWN.iter()
                .find(|own| own.name == name)
                .map_or(String::new(), |own| own.default.to_owned())
        };
        self.given(name)
            .map_or_else(default, |given| given.text().trim().to_owned())
    }

    pub(super) fn invalid(&self, name: &str, why: impl Into<String>) -> NodeError {
        let origin = self
            .collected
            .values
            .get(name)
            .map_or(Origin::Default, |(_, origin)| origin.clone());
        NodeError::Invalid {
            name: name.to_owned(),
            value: self.text(name),
            origin: origin.to_string(),
            why: why.into(),
        }
    }

    pub(super) fn address(&self, name: &str) -> Result<SocketAddr, NodeError> {
        let host: HostPort = self
            .text(name)
            .parse()
            .map_err(|why| self.invalid(name, why))?;
        let found = (host.host.as_str(), host.port).to_socket_addrs();
        let found = found
            .map_err(|error| self.invalid(name, format!("no address for it: {error}")))?
            .next();
        found.ok_or_else(|| self.invalid(name, "no address for it"))
    }

    pub(super) fn advertise(
        &self,
        listen: SocketAddr,
        machine: &Machine,
    ) -> Result<HostPort, NodeError> {
        if self.given("advertise").is_some() {
            let advertise: HostPort = self
                .text("advertise")
                .parse()
                .map_err(|why| self.invalid("advertise", why))?;
            let nowhere = advertise
                .host
                .parse()
                .is_ok_and(|ip: IpAddr| ip.is_unspecified());
            return if nowhere {
                Err(self.invalid(
                    "advertise",
                    "clients can't connect to that; give an address or name they can",
                ))
            } else {
                Ok(advertise)
            };
        }
        // Nobody can connect to "every address", so what was given for listen is told on only
        // where it names one.
        let text = self.text("listen");
        let named = text
            .parse::<HostPort>()
            .map_err(|why| self.invalid("listen", why))?
            .host;
        let host = if listen.ip().is_unspecified() {
            machine.host.clone()
        } else {
            named
        };
        Ok(HostPort {
            host,
            port: listen.port(),
        })
    }

    pub(super) fn admin(&self) -> Result<Option<SocketAddr>, NodeError> {
        if self.text("admin") == "off" {
            Ok(None)
        } else {
            self.address("admin").map(Some)
        }
    }

    pub(super) fn data_dirs(&self) -> Result<Vec<PathBuf>, NodeError> {
        let dirs = self
            .given("data_dirs")
            .map_or_else(|| vec![self.text("data_dirs")], Given::list);
        if dirs.is_empty() || dirs.iter().any(String::is_empty) {
            return Err(self.invalid("data_dirs", "a data directory without a name"));
        }
        let dirs: Vec<PathBuf> = dirs.into_iter().map(PathBuf::from).collect();
        let mut sorted: Vec<&PathBuf> = dirs.iter().collect();
        sorted.sort();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => {
                Err(self.invalid("data_dirs", format!("{} is given twice", pair[0].display())))
            }
            None => Ok(dirs),
        }
    }

    pub(super) fn shards(&self) -> Result<Option<NonZeroUsize>, NodeError> {
        if self.given("shards").is_none() {
            return Ok(None);
        }
        let shards = self.text("shards").parse();
        shards
            .map(Some)
            .map_err(|_| self.invalid("shards", "expected a number, 1 or more"))
    }

    pub(super) fn amount(&self, name: &str) -> Result<Amount, NodeError> {
        self.text(name)
            .parse()
            .map_err(|error: NoAmount| self.invalid(name, error.to_string()))
    }

    pub(super) fn node_id(&self) -> Result<i32, NodeError> {
        let id = self
            .text("node_id")
            .parse()
            .ok()
            .filter(|id: &i32| *id >= 0);
        id.ok_or_else(|| self.invalid("node_id", "expected a number from 0 to 2147483647"))
    }

    pub(super) fn internal(&self) -> Result<Option<Internal>, NodeError> {
        let text = self.text("internal");
        if text == "off" {
            return Ok(None);
        }
        let listen = self.address("internal")?;
        if listen.ip().is_unspecified() {
            let why = "other nodes can't connect to every address; give the one they use";
            return Err(self.invalid("internal", why));
        }
        let named: HostPort = text
            .parse()
            .map_err(|why: &str| self.invalid("internal", why))?;
        Ok(Some(Internal {
            listen,
            host: named.host,
        }))
    }

    pub(super) fn quorum(&self) -> Result<Vec<QuorumMember>, NodeError> {
        let Some(given) = self.given("quorum") else {
            return Ok(Vec::new());
        };
        let list = given.list();
        let texts = list.iter().flat_map(|text| text.split(','));
        let members: Result<Vec<QuorumMember>, String> = texts.map(str::parse).collect();
        let members = members.map_err(|why| self.invalid("quorum", why))?;
        let twice = (1..members.len())
            .find(|&at| members[..at].iter().any(|one| one.node == members[at].node));
        match twice {
            Some(at) => {
                let why = format!("node {} is named twice", members[at].node);
                Err(self.invalid("quorum", why))
            }
            None => Ok(members),
        }
    }

    pub(super) fn log_format(&self) -> Result<LogFormat, NodeError> {
        match self.text("log_format").as_str() {
            "human" => Ok(LogFormat::Human),
            "json" => Ok(LogFormat::Json),
            _ => Err(self.invalid("log_format", "expected human or json")),
        }
    }

    pub(super) fn log_filter(&self) -> Result<String, NodeError> {
        let filter = self.text("log_filter");
        let parsed = tracing_subscriber::EnvFilter::try_new(&filter);
        parsed
            .map(|_| filter)
            .map_err(|error| self.invalid("log_filter", error.to_string()))
    }

    pub(super) fn kafka(&self) -> Result<Overrides, NodeError> {
        let mut kafka = Overrides::new();
        for (name, (given, origin)) in &self.collected.values {
            if OWN.iter().any(|own| own.name == name) {
                continue;
            }
            let value = given.text();
            broker::validate(name, &value).map_err(|error| NodeError::Kafka {
                origin: origin.to_string(),
                error,
            })?;
            kafka.insert(name.clone(), value);
        }
        Ok(kafka)
    }
}
