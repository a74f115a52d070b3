//! How many primes there are below a number: ranges counted side by side. `cargo run --release --example primes [below]`

use procession::Pool;

fn is_prime(n: u64) -> bool {
    n >= 2 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}

fn count((start, end): (u64, u64)) -> usize {
    (start..end).filter(|n| is_prime(*n)).count()
}

fn main() -> procession::Result<()> {
    let below: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(200_000);
    let step = 10_000;
    let ranges = (0..below).step_by(step as usize).map(|start| (start, (start + step).min(below)));
    let pool = Pool::builder().build()?;
    let primes: usize = pool.map(count, ranges)?.into_iter().sum();
    println!("{primes} primes below {below}, counted by {} processes", pool.workers());
    Ok(())
}
