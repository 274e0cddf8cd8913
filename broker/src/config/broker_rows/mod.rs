//! The settings of a broker, by Kafka 4.1's names: those its tools, UIs and test suites read or
//! change. Split by what they are about; [`all`] is the whole table.

mod cluster;
mod groups;
mod log;
mod network;
mod security;

use super::broker::{BrokerRow, Update};
use super::def::Def;

const fn row(def: Def, update: Update) -> BrokerRow {
    BrokerRow { def, update }
}

/// Rows of the form `Update ["name", Kind, default, Rule, Effect, "meaning"];`.
macro_rules! rows {
    ($($update:ident [$($def:tt)*];)*) => {
        &[$($crate::config::broker_rows::row(
            $crate::config::table::def!($($def)*),
            $crate::config::broker::Update::$update,
        )),*]
    };
}
use rows;

/// Every broker setting.
pub(crate) fn all() -> impl Iterator<Item = &'static BrokerRow> + Clone {
    [
        cluster::ROWS,
        network::ROWS,
        log::ROWS,
        groups::ROWS,
        security::ROWS,
    ]
    .into_iter()
    .flatten()
}
