//! Random numbers that are the same tomorrow, whoever runs what: `cargo run --release --example dice [seed [recording]]`
//!
//! With a second argument it is recorded there what ran when, for `procession report`.

use procession::{Pool, Seed, current_task};

/// Throws as many dice; none is a mistake.
fn throw(dice: u32) -> u64 {
    assert!(dice > 0, "no dice to throw");
    let mut seed = current_task().seed();
    let mut sum = 0;
    for _ in 0..dice {
        // A generator of the crate `rand` would be made once, by `StdRng::from_seed(seed.bytes())`.
        seed = seed.child(0);
        sum += seed.number() % 6 + 1;
    }
    sum
}

fn main() -> procession::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let seed: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(2024);
    let recording = arguments.next().map(procession::recording).transpose()?;
    let pool = Pool::new(2)?;
    let sums = pool.seeded(seed).map(throw, 1..=6)?;
    assert_eq!(sums, Pool::new(1)?.seeded(seed).map(throw, 1..=6)?);
    println!("the same with one and with two workers: {sums:?}");
    println!("{}", Seed::from(seed).child(3).number());
    if let Err(error) = pool.submit(throw, 0).wait() {
        println!("{error}");
    }
    recording.map_or(Ok(()), procession::Recording::stop)
}
