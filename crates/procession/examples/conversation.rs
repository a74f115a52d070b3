//! A Rust program that a Python one starts and talks with: docs/wire.md has that one.
//!
//! With the argument `pool` it is the other way round: it starts Python workers, says which, and waits.

use procession::{Array, Event, Lock, Pool, Queue, Semaphore, SharedSlice};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Given {
    orders: Queue<Order>,
    answers: Queue<Answer>,
    lock: Lock<()>,
    numbers: SharedSlice<f64>,
    holds: Event,
    permits: Semaphore,
}

#[derive(Serialize, Deserialize)]
enum Order {
    Double(Array<f64>),
    Add { number: f64 },
    Hold,
    Stop,
}

#[derive(Serialize, Deserialize)]
enum Answer {
    Doubled(Array<f64>),
    Added(Vec<f64>),
}

fn talk(given: Given) -> procession::Result<()> {
    loop {
        match given.orders.get()? {
            Order::Double(array) => {
                let doubled = array.items().iter().map(|item| 2.0 * item).collect();
                given.answers.put(Answer::Doubled(Array::new(array.shape().to_vec(), doubled)?))?;
            }
            Order::Add { number } => {
                let _permit = given.permits.acquire();
                let _guard = given.lock.lock();
                let mut numbers = given.numbers.lock().unwrap_or_else(procession::Poisoned::into_inner);
                numbers.iter_mut().for_each(|one| *one += number);
                given.answers.put(Answer::Added(numbers.to_vec()))?;
            }
            Order::Hold => {
                let _guard = given.lock.lock();
                given.holds.set();
                loop {
                    std::thread::park();
                }
            }
            Order::Stop => return Ok(()),
        }
    }
}

fn main() -> procession::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("pool") => show_pool(),
        _ => talk(procession::given()?),
    }
}

fn show_pool() -> procession::Result<()> {
    let pool = Pool::builder().workers(2).python("builtins:abs").build()?;
    let sizes: Vec<i32> = pool.map([-1, 2, -3])?;
    println!("{sizes:?} {:?}", pool.process_ids());
    std::io::stdin().lines().for_each(drop);
    Ok(())
}
