//! Pictures and captures of runs. Everything here is a pure function from data to text or bytes; whoever calls it writes
//! the files. The pictures are SVG without scripts that fetch nothing, readable on light and on dark paper; a [`page`] is HTML with
//! pictures in it, whole in one file.
//!
//! | function | what it draws |
//! |---|---|
//! | [`ladder`] | one connect, packet by packet, with the NATs' tables and the reason of every drop |
//! | [`film`] | who was connected to whom all through a meeting, and what went wrong meanwhile |
//! | [`grid`] | NAT against NAT, coloured by whether the nodes did what the oracle says |
//! | [`growth`] | what meetings cost as they grow |
//! | [`joins`] | how long joining takes, by loss |
//! | [`success`] | how many pairs of strangers connect, beside what was measured in the field |
//! | [`lookups`] | how DHT lookups close in on their targets, their times, hops and round trips |
//! | [`pcapng`] | every packet of the members, for Wireshark |

mod film;
mod grid;
mod growth;
mod joins;
mod label;
mod ladder;
mod lookups;
mod page;
mod pcapng;
mod plot;
mod success;
mod svg;

pub use film::film;
pub use grid::{Cell, Judged, grid};
pub use growth::{Grown, growth};
pub use joins::{Joins, joins};
pub use ladder::ladder;
pub use lookups::{Lookups, lookups};
pub use page::{Section, page};
pub use pcapng::pcapng;
pub use success::{ALL_MEANS, CALLS, Group, HOMES, PUNCHING, Published, Share, success};

#[cfg(test)]
mod tests;
