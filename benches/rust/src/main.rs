//! procession beside procspawn and rayon: `cargo run --release --manifest-path benches/rust/Cargo.toml`.
//!
//! Each row is measured five times, the libraries in turn, and the median is given. A row's number is microseconds, but for
//! tasks (thousands a second) and queens (seconds).

use std::hint::black_box;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const WORKERS: usize = 2;

fn next(x: u64) -> u64 {
    x + 1
}

fn echo(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

/// Solutions of the queens' puzzle on a board of this size, with these queens in the first row.
fn queens((size, first): (u32, u32)) -> u64 {
    fn place(all: u32, columns: u32, left: u32, right: u32) -> u64 {
        if columns == all {
            return 1;
        }
        let mut free = all & !(columns | left | right);
        let mut count = 0;
        while free != 0 {
            let one = free & free.wrapping_neg();
            free ^= one;
            count += place(all, columns | one, (left | one) << 1, (right | one) >> 1);
        }
        count
    }
    let one = 1 << first;
    place((1 << size) - 1, one, one << 1, one >> 1)
}

/// Microseconds of one of `times` calls.
fn each(times: u32, mut call: impl FnMut()) -> f64 {
    let begun = Instant::now();
    (0..times).for_each(|_| call());
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(times)
}

fn thousands_a_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64() / 1e3
}

type Row<'a> = (&'a str, Vec<(&'a str, Box<dyn FnMut() -> f64 + 'a>)>);

fn main() {
    procspawn::init();
    let ours = procession::Pool::new(WORKERS).unwrap();
    let theirs = procspawn::Pool::new(WORKERS).unwrap();
    let threads = rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build().unwrap();
    let mebibyte = vec![7u8; 1 << 20];
    let lock = procession::Lock::new(()).unwrap();
    let rows: Vec<Row<'_>> = vec![
        (
            "call",
            vec![
                (
                    "procession",
                    Box::new(|| {
                        each(2000, || {
                            let _ = black_box(ours.submit(next, 1).wait().unwrap());
                        })
                    }),
                ),
                (
                    "procspawn",
                    Box::new(|| {
                        each(2000, || {
                            let _ = black_box(theirs.spawn(1, next).join().unwrap());
                        })
                    }),
                ),
            ],
        ),
        (
            "tasks k/s",
            vec![
                (
                    "procession",
                    Box::new(|| {
                        let begun = Instant::now();
                        black_box(ours.map(next, 0..200_000).unwrap());
                        thousands_a_second(200_000, begun.elapsed())
                    }),
                ),
                (
                    "procspawn",
                    Box::new(|| {
                        let begun = Instant::now();
                        // More at once, and it runs out of descriptors: three a task.
                        for _ in 0..50 {
                            let handles: Vec<_> = (0..100).map(|x| theirs.spawn(x, next)).collect();
                            for handle in handles {
                                black_box(handle.join().unwrap());
                            }
                        }
                        thousands_a_second(5000, begun.elapsed())
                    }),
                ),
            ],
        ),
        (
            "spawn + join",
            vec![
                (
                    "procession",
                    Box::new(|| {
                        each(50, || {
                            let _ = procession::Process::spawn(next, 1).unwrap().join().unwrap();
                        })
                    }),
                ),
                (
                    "procspawn",
                    Box::new(|| {
                        each(50, || {
                            let _ = procspawn::spawn(1, next).join().unwrap();
                        })
                    }),
                ),
            ],
        ),
        (
            "1 MiB echo",
            vec![
                (
                    "procession",
                    Box::new(|| {
                        each(50, || {
                            let _ = ours.submit(echo, mebibyte.clone()).wait().unwrap();
                        })
                    }),
                ),
                (
                    "procspawn",
                    Box::new(|| {
                        each(20, || {
                            let _ = theirs.spawn(mebibyte.clone(), echo).join().unwrap();
                        })
                    }),
                ),
            ],
        ),
        (
            "queens 13 s",
            vec![
                (
                    "procession",
                    Box::new(|| {
                        let begun = Instant::now();
                        black_box(ours.map(queens, (0..13).map(|first| (13, first))).unwrap());
                        begun.elapsed().as_secs_f64()
                    }),
                ),
                (
                    "rayon",
                    Box::new(|| {
                        use rayon::prelude::*;
                        let begun = Instant::now();
                        black_box(
                            threads.install(|| (0..13).into_par_iter().map(|first| queens((13, first))).sum::<u64>()),
                        );
                        begun.elapsed().as_secs_f64()
                    }),
                ),
                (
                    "one thread",
                    Box::new(|| {
                        let begun = Instant::now();
                        black_box((0..13).map(|first| queens((13, first))).sum::<u64>());
                        begun.elapsed().as_secs_f64()
                    }),
                ),
            ],
        ),
        ("lock", vec![("procession", Box::new(|| each(1_000_000, || drop(black_box(lock.lock().unwrap())))))]),
    ];
    for (name, mut libraries) in rows {
        let mut seen = vec![Vec::new(); libraries.len()];
        for _ in 0..ROUNDS {
            for (times, (_, measure)) in seen.iter_mut().zip(&mut libraries) {
                times.push(measure());
            }
        }
        for (times, (library, _)) in seen.iter_mut().zip(&libraries) {
            times.sort_by(f64::total_cmp);
            println!("{name:14} {library:12} {:12.3}", times[ROUNDS / 2]);
        }
    }
}
