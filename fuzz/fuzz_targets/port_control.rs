#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| folkmoot_fuzz_bodies::port_control(bytes));
