//! A pool of four workers and four tasks; the twin of `examples/pool_map.py`.

use procession::Pool;

fn worker(number: u32) {
    println!("Worker {number}");
}

fn main() -> procession::Result<()> {
    let pool = Pool::new(4)?;
    pool.map(worker, 0..4)?;
    Ok(())
}
