#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| procession::fuzzing::pipe(bytes));
