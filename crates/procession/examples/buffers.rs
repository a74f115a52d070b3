//! Arrays of 1 MiB to Python workers and back, as often as each line of the input says; prints how many seconds a call takes.
//!
//! `python -m benches.languages` runs it beside a pool of Python, by turns.

use std::io::{BufRead, Write};
use std::time::Instant;

use procession::{Array, Pool};

fn main() -> procession::Result<()> {
    let function = std::env::args().nth(1).unwrap_or_else(|| "operator:pos".into());
    let pool = Pool::builder().workers(1).python(&function).build()?;
    // For as long as the program runs, so that it is an argument as it is, without a copy.
    let array: &'static Array<f64> = Box::leak(Box::new(Array::from(vec![0.5; 1 << 17])));
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let times: u32 = line.trim().parse().unwrap_or(100);
        let begun = Instant::now();
        for _ in 0..times {
            let answer: Array<f64> = pool.submit(array).wait().expect("the function takes arrays");
            assert_eq!(answer.items().len(), array.items().len());
        }
        println!("{}", begun.elapsed().as_secs_f64() / f64::from(times));
        let _ = std::io::stdout().flush();
    }
    Ok(())
}
