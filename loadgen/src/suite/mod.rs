//! Known benchmarks, each a list of lines with the parameters of the original and the figures it
//! published; and workload files.
//!
//! Owns what a line is. It must never talk to a system.

mod confluent;
mod fields;
mod file;
mod hard;
mod kreps;
mod omb;

use std::path::{Path, PathBuf};

use thiserror::Error;

pub use fields::{FieldError, set};

use crate::results::Original;
use crate::workload::Workload;

/// One line of a suite.
#[derive(Debug, Clone, Default)]
pub struct Planned {
    /// The workload; its name is the line's id, its title the line's.
    pub workload: Workload,
    /// What was published, for each system.
    pub originals: Vec<Original>,
    /// What a reader must know.
    pub notes: Vec<String>,
    /// Why systems of this kind (the beginning of the driver's name) are not asked to do it.
    pub not_for: Option<(&'static str, String)>,
}

impl Planned {
    /// The published figure to set beside what this driver's system does: of the same kind of system if
    /// there is one, else the first.
    pub fn original(&self, driver: &str) -> Option<Original> {
        let rabbit = driver.starts_with("rabbit") || driver == "amqp";
        let same = |original: &&Original| (original.system == "RabbitMQ") == rabbit;
        let found = self.originals.iter().find(same);
        found.or(self.originals.first()).cloned()
    }
}

/// A benchmark.
#[derive(Debug, Clone)]
pub struct Suite {
    /// Its name.
    pub name: String,
    /// Its lines.
    pub lines: Vec<Planned>,
}

/// A suite that is built in, or a kind of file.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// A line about it.
    pub about: &'static str,
    /// Whether it takes a file.
    pub takes_file: bool,
}

/// All there are.
pub const KNOWN: [Known; 5] = [
    Known {
        name: "kreps-2014",
        about: "the benchmark of 2014: three producers, three-way asynchronous replication, and its other lines",
        takes_file: false,
    },
    Known {
        name: "confluent-2020",
        about: "the comparison of Kafka, Pulsar and RabbitMQ of 2020: peak throughput, then latency at fixed rates",
        takes_file: false,
    },
    Known {
        name: "hard-2023",
        about: "what benchmarks leave out: many producers, keys, backlogs, retention, many partitions, fsync",
        takes_file: false,
    },
    Known {
        name: "omb",
        about: "a workload file of the OpenMessaging Benchmark, as it is",
        takes_file: true,
    },
    Known {
        name: "file",
        about: "a workload file of our own (TOML)",
        takes_file: true,
    },
];

/// Why there is no such suite.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SuiteError {
    /// No suite has that name.
    #[error("there is no suite {name}{nearest}: `loadgen list` shows all")]
    Unknown {
        /// What was asked for.
        name: String,
        /// A known name that is like it, in words.
        nearest: String,
    },
    /// It takes a file and there is none, or the other way round.
    #[error("{0}")]
    Usage(String),
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No line has that name.
    #[error("suite {suite} has no line {line}{nearest}: there are {known}")]
    Line {
        /// The suite.
        suite: String,
        /// What was asked for.
        line: String,
        /// A known name that is like it, in words.
        nearest: String,
        /// All lines.
        known: String,
    },
}

/// ", perhaps X" where a known name is like this one.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let likeness = known.map(|known| (strsim::jaro_winkler(name, known), known));
    match likeness.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((likeness, known)) if likeness > 0.7 => format!(" (perhaps {known}?)"),
        _ => String::new(),
    }
}

/// The suite of this name, `scale` times as long as the original.
pub fn open(name: &str, file: Option<&Path>, scale: f64) -> Result<Suite, SuiteError> {
    let Some(known) = KNOWN.iter().find(|known| known.name == name) else {
        return Err(SuiteError::Unknown {
            name: name.to_owned(),
            nearest: nearest(name, KNOWN.iter().map(|known| known.name)),
        });
    };
    let lines = match (file, known.takes_file) {
        (None, true) => {
            return Err(SuiteError::Usage(format!(
                "suite {name} takes a file: loadgen run {name} FILE"
            )));
        }
        (Some(_), false) => {
            return Err(SuiteError::Usage(format!("suite {name} takes no file")));
        }
        (Some(path), true) => {
            let text = std::fs::read_to_string(path).map_err(|source| SuiteError::Read {
                path: path.to_owned(),
                source,
            })?;
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let lines = match name {
                "omb" => omb::parse(&text, stem.unwrap_or("omb"), scale),
                _ => file::parse(&text, stem.unwrap_or("workload"), scale),
            };
            lines.map_err(|reason| SuiteError::File {
                path: path.to_owned(),
                reason,
            })?
        }
        (None, false) => match name {
            "kreps-2014" => kreps::lines(scale),
            "confluent-2020" => confluent::lines(scale),
            _ => hard::lines(scale),
        },
    };
    Ok(Suite {
        name: name.to_owned(),
        lines,
    })
}

impl Suite {
    /// Keeps only these lines.
    pub fn pick(&mut self, wanted: &[String]) -> Result<(), SuiteError> {
        let names: Vec<&str> = self.lines.iter().map(|line| &*line.workload.name).collect();
        for line in wanted {
            if !names.contains(&line.as_str()) {
                return Err(SuiteError::Line {
                    suite: self.name.clone(),
                    line: line.clone(),
                    nearest: nearest(line, names.iter().copied()),
                    known: names.join(", "),
                });
            }
        }
        if !wanted.is_empty() {
            self.lines
                .retain(|line| wanted.contains(&line.workload.name));
        }
        Ok(())
    }
}

/// The workload as so many brokers can do it, and what that leaves out.
pub fn fit(mut workload: Workload, brokers: usize) -> (Workload, Vec<String>) {
    let mut notes = Vec::new();
    if brokers > 0 && workload.replicas > brokers {
        notes.push(format!(
            "asks for {} replicas, and there {}: run with {brokers}, which is less work than the original",
            workload.replicas,
            if brokers == 1 {
                "is one broker".to_owned()
            } else {
                format!("are {brokers} brokers")
            }
        ));
        workload.replicas = brokers;
    }
    (workload, notes)
}

/// A time that is scaled, but not below what can be measured.
fn scaled_seconds(seconds: f64, scale: f64) -> f64 {
    (seconds * scale).max(seconds.min(5.0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::collections::BTreeSet;

    use super::{KNOWN, fit, open};
    use crate::workload::Workload;

    #[test]
    fn every_line_is_whole_and_has_a_name_of_its_own() {
        for known in KNOWN.iter().filter(|known| !known.takes_file) {
            for scale in [1.0, 0.001] {
                let suite = open(known.name, None, scale).unwrap();
                let mut names = BTreeSet::new();
                for line in &suite.lines {
                    line.workload.check().unwrap();
                    assert!(!line.workload.title.is_empty());
                    assert!(names.insert(line.workload.name.clone()));
                }
            }
        }
    }

    #[test]
    fn wrong_names_are_refused_with_the_nearest() {
        let error = open("kreps-2015", None, 1.0).unwrap_err().to_string();
        assert!(error.contains("perhaps kreps-2014"), "{error}");
        let mut suite = open("kreps-2014", None, 1.0).unwrap();
        let error = suite.pick(&["one-consumr".to_owned()]).unwrap_err();
        assert!(
            error.to_string().contains("perhaps one-consumer"),
            "{error}"
        );
        suite.pick(&["one-consumer".to_owned()]).unwrap();
        assert_eq!(suite.lines.len(), 1);
    }

    #[test]
    fn one_broker_does_what_it_can_and_says_so() {
        let three = Workload {
            replicas: 3,
            ..Workload::default()
        };
        let (workload, notes) = fit(three.clone(), 1);
        assert_eq!(workload.replicas, 1);
        assert!(notes[0].contains("one broker"), "{notes:?}");
        assert_eq!(fit(three.clone(), 3), (three, Vec::new()));
    }
}
