//! What is measured, a function for each part of the table.

#[path = "costs.rs"]
mod costs;
#[path = "speed.rs"]
mod speed;

use super::table::Table;

type Section = fn(&mut Table);

/// By the words that choose them.
pub const SECTIONS: [(&str, Section); 9] = [
    ("rates", speed::rates),
    ("jwks", speed::key_set_under_load),
    ("queueing", speed::latency_at_70_percent),
    ("cores", speed::two_cores),
    ("telling", costs::telling_of_it),
    ("scale", costs::number_of_keys),
    ("reads", costs::reads_of_the_store),
    ("cold", costs::keys_that_are_not_remembered),
    ("start", costs::start_and_size),
];
