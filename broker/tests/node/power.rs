//! The power fails under load, on a drive that forgets what was not flushed: with `flush.messages=1`
//! nothing acknowledged is lost.
//!
//! `OTTLA_POWER_ROUNDS` sets how many times (5 if unset).

use faultfs::{PowerCut, Sector};

use crate::harness::{Broker, Options, Random, faulty_drive, temp_dir};
use crate::kill::Ledger;
use crate::roundtrip::create_topic;

const TOPIC: &str = "under-thunder";

#[test]
fn nothing_flushed_is_lost_when_the_power_fails() {
    let rounds = std::env::var("OTTLA_POWER_ROUNDS").ok();
    let rounds: usize = rounds.map_or(5, |rounds| rounds.parse().expect("a number"));
    let mut random = Random::from_env();
    let dir = temp_dir();
    let Some(drive) = faulty_drive(dir.path()) else {
        return;
    };
    let mut options = Options::at(dir.path())
        .set("log.segment.bytes", "1048576")
        .argument("--log-filter=warn");
    options.data_dirs = vec![drive.path().join("data")];
    let broker = Broker::start(&options);
    create_topic(&broker, TOPIC, 3, &[("flush.messages", "1")]);
    assert!(broker.stop().success());
    let mut ledger = Ledger::new(TOPIC, 3);
    for round in 0..rounds {
        let broker = Broker::start(&options);
        ledger.verify(&broker);
        ledger.produce_and_kill(broker, round, &mut random);
        let sector = [Sector::Small, Sector::Large][random.below(2)];
        let torn = PowerCut::clean().torn(random.below(1 << 30) as u64, sector);
        let cut = match random.below(3) {
            0 => PowerCut::clean(),
            1 => torn,
            _ => torn.losing_names(),
        };
        drive
            .controls()
            .power_cut(&cut)
            .expect("the drive is in this process");
    }
    let broker = Broker::start(&options);
    ledger.verify(&broker);
    eprintln!(
        "{rounds} power cuts, {} records acknowledged, all there",
        ledger.len()
    );
    assert!(ledger.len() > 0, "no load reached the broker");
    assert!(broker.stop().success());
}
