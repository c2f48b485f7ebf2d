//! The DHT at scale: networks of any size for the production machine to live in, and what it does there in figures.
//!
//! | tier | what runs | for |
//! |---|---|---|
//! | [`Ambient`] | eight bytes a node; all else is computed when somebody asks | millions of nodes around a few real machines |
//! | [`Light`] | a stored routing table a node, some 600 bytes, while nodes come and go | what churn does over hours |
//! | [`Swarm`] | the production machine on every seat, joining through the protocol | a hundred thousand real machines |
//!
//! A [`Looker`] is the production [`Dht`](folkmoot_core::dht::Dht), byte for byte, in an ambient network. [`compare`] lets
//! it look up what [`Rival`] policies, modelled after the source of other implementations, look up too.
//!
//! Who tunes the machine's lookups sees within a second what comes of it: `cargo run --release -p folkmoot-sim -- dht lookups`
//! (optimised; in a development build add `--quick`). What came of it is published by
//! `moot-sim dht lookups > sim/snapshots/lookups.md`.

pub(crate) mod address;
mod ambient;
mod answer;
mod foes;
mod joining;
mod law;
mod light;
mod looker;
mod lookups;
mod plan;
mod poison;
mod rival;
mod sample;
mod scene;
mod siege;
mod swarm;
mod trail;
mod walks;

pub use address::Prefixes;
pub use ambient::{Ambient, K, Place};
pub(crate) use answer::answer;
pub use foes::{Foes, Sybils, Way};
pub use joining::{Joining, joinings};
pub use law::{Law, lognormal};
pub use light::{Light, LightCounts, LightLookup};
pub use looker::{Looker, Toward, Traffic};
pub use lookups::{Comparison, Conditions, Goals, Row, Start, compare};
pub use plan::{Plan, Site};
pub use poison::{Attack, Outcome, poison};
pub use rival::{Model, Rival};
pub use sample::{Sample, Summary};
pub use scene::{Scene, Stored};
pub use siege::{Siege, Stuffed, besiege};
pub use swarm::{Alone, Census, Crew, Found, Shard, Swarm, SwarmCounts};
pub use trail::Trail;
pub use walks::{Step, Walk, walks};
