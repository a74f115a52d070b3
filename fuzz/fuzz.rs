//! All targets as one program of libFuzzer: `PROCESSION_FUZZ` names the one to run. `scripts/fuzz` builds and calls it.

#![no_main]

use std::sync::LazyLock;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("PROCESSION_FUZZ").unwrap_or_default();
    let known: Vec<&str> = procession::fuzzing::TARGETS.iter().map(|(known, _)| *known).collect();
    match procession::fuzzing::TARGETS.iter().find(|(known, _)| *known == name) {
        Some((_, target)) => *target,
        None => {
            eprintln!("fuzz: PROCESSION_FUZZ is {name:?}, not one of {}", known.join(", "));
            std::process::exit(2);
        }
    }
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET(bytes));
