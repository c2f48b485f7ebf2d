//! Runs scenarios of the simulator.

fn main() {}
