//! The DHT at scale: networks of any size for the production machine to live in, and what it does there in figures.
//!
//! | tier | what runs | for |
//! |---|---|---|
//! | [`Ambient`] | eight bytes a node; all else is computed when somebody asks | millions of nodes around a few real machines |
//!
//! A [`Looker`] is the production [`Dht`](folkmoot_core::dht::Dht), byte for byte, in an ambient network. [`compare`] lets
//! it look up what [`Rival`] policies, modelled after the source of other implementations, look up too.
//!
//! Who tunes the machine's lookups sees within a second what comes of it: `cargo run --release -p folkmoot-sim -- dht lookups`
//! (optimised; in a development build add `--quick`). What came of it is published by
//! `moot-sim dht lookups > sim/snapshots/lookups.md`.

mod address;
mod ambient;
mod answer;
mod law;
mod looker;
mod lookups;
mod rival;
mod sample;

pub use ambient::{Ambient, K, Place};
pub use law::{Law, lognormal};
pub use looker::{Looker, Traffic};
pub use lookups::{Comparison, Conditions, Goals, Row, Start, compare};
pub use rival::{Model, Rival};
pub use sample::{Sample, Summary};
