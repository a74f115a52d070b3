//! Ten tasks, six of which go wrong in six ways: each is the outcome of its own task, and the pool goes on.

use std::time::Duration;

use procession::Pool;

fn risky(number: u32) -> u32 {
    match number {
        1 => panic!("I do not like the number {number}"),
        2 => std::process::abort(),
        3 => loop {
            std::hint::spin_loop();
        },
        4 => std::process::exit(3),
        5 => dive([0; 64]),
        6 => (0..1 << 20).map(|_| std::hint::black_box(vec![1u8; 1 << 22].leak()).len() as u32).sum(),
        _ => number * number,
    }
}

fn dive(frame: [u64; 64]) -> u32 {
    let below = if frame[0] == u64::MAX { 0 } else { dive(std::hint::black_box([frame[0] + 1; 64])) };
    below + std::hint::black_box(frame)[1] as u32
}

fn main() -> procession::Result<()> {
    let pool = Pool::builder().workers(3).timeout(Duration::from_secs(3)).memory(100 << 20).build()?;
    for (number, outcome) in pool.map_each(risky, 0..10).enumerate() {
        match outcome {
            Ok(value) => println!("{number}: {value}"),
            Err(error) => println!("{number}: {error}"),
        }
    }
    println!("and again: {:?}", pool.map(risky, 7..10)?);
    Ok(())
}
