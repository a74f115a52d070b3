//! procession beside procspawn, rayon and ipc-channel: `cargo run --release --manifest-path benches/rust/Cargo.toml`.
//!
//! Arguments choose rows by parts of their names; `--strict` makes a missed aim a failure.

mod table;
mod work;

use std::hint::black_box;
use std::time::Instant;

use ipc_channel::ipc::{self, IpcOneShotServer};
use procession::{Lock, Pool, Process, StartMethod, pipe};
use rayon::prelude::*;
use table::{Row, done, each, print, thousands_a_second};
use work::{Ends, boards, echo, echo_over_ipc_channel, echo_over_pipe, next, queens};

const WORKERS: usize = 2;
const BOARD: u32 = 14;

fn main() {
    procspawn::init();
    let ours = Pool::new(WORKERS).unwrap();
    let theirs = procspawn::Pool::new(WORKERS).unwrap();
    let threads = rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build().unwrap();
    let lock = Lock::new(()).unwrap();
    let (mebibyte, word) = (vec![7u8; 1 << 20], vec![7u8; 8]);

    let (near, far) = pipe().unwrap();
    let _echo = Process::spawn(echo_over_pipe, far).unwrap();
    let (server, name) = IpcOneShotServer::<Ends>::new().unwrap();
    let _ipc_echo = Process::spawn(echo_over_ipc_channel, name).unwrap();
    let (_, (to_them, answers_to)) = server.accept().unwrap();
    let (to_us, from_them) = ipc::bytes_channel().unwrap();
    answers_to.send(to_us).unwrap();

    let by_pipe = |message: &Vec<u8>| {
        near.send(message).unwrap();
        black_box(near.recv().unwrap());
    };
    let by_ipc_channel = |message: &Vec<u8>| {
        to_them.send(message).unwrap();
        black_box(from_them.recv().unwrap());
    };
    let spawned = |method| each(40, || done(Process::spawn_by(method, next, 1).unwrap().join().unwrap()));

    let rows = vec![
        Row {
            name: "call",
            unit: "us",
            aim: 0.25,
            is_rate: false,
            libraries: vec![
                ("procession", Box::new(|| each(2000, || done(ours.submit(next, 1).wait().unwrap())))),
                ("procspawn", Box::new(|| each(2000, || done(theirs.spawn(1, next).join().unwrap())))),
            ],
        },
        Row {
            name: "tasks",
            unit: "k/s",
            aim: 15.0,
            is_rate: true,
            libraries: vec![
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
        },
        Row {
            name: "spawn + join",
            unit: "us",
            aim: 0.6,
            is_rate: false,
            libraries: vec![
                ("procession", Box::new(|| spawned(StartMethod::Forkserver))),
                ("procspawn", Box::new(|| each(40, || done(procspawn::spawn(1, next).join().unwrap())))),
                ("procession, Spawn", Box::new(|| spawned(StartMethod::Spawn))),
            ],
        },
        Row {
            name: "1 MiB as argument and result",
            unit: "us",
            aim: 1.0 / 15.0,
            is_rate: false,
            libraries: vec![
                ("procession", Box::new(|| each(50, || done(ours.submit(echo, mebibyte.clone()).wait().unwrap())))),
                ("procspawn", Box::new(|| each(20, || done(theirs.spawn(mebibyte.clone(), echo).join().unwrap())))),
            ],
        },
        Row {
            name: "1 MiB message and answer",
            unit: "us",
            aim: 1.0,
            is_rate: false,
            libraries: vec![
                ("procession", Box::new(|| each(50, || by_pipe(&mebibyte)))),
                ("ipc-channel", Box::new(|| each(50, || by_ipc_channel(&mebibyte)))),
            ],
        },
        Row {
            name: "8 B message and answer",
            unit: "us",
            aim: 1.0,
            is_rate: false,
            libraries: vec![
                ("procession", Box::new(|| each(1000, || by_pipe(&word)))),
                ("ipc-channel", Box::new(|| each(1000, || by_ipc_channel(&word)))),
            ],
        },
        Row {
            name: "14 queens",
            unit: "s",
            aim: 1.03,
            is_rate: false,
            libraries: vec![
                (
                    "procession",
                    Box::new(|| {
                        let begun = Instant::now();
                        black_box(ours.map(queens, boards(BOARD)).unwrap().iter().sum::<u64>());
                        begun.elapsed().as_secs_f64()
                    }),
                ),
                (
                    "rayon",
                    Box::new(|| {
                        let begun = Instant::now();
                        let all: Vec<_> = boards(BOARD).collect();
                        black_box(threads.install(|| all.into_par_iter().map(queens).sum::<u64>()));
                        begun.elapsed().as_secs_f64()
                    }),
                ),
                (
                    "one thread",
                    Box::new(|| {
                        let begun = Instant::now();
                        black_box(boards(BOARD).map(queens).sum::<u64>());
                        begun.elapsed().as_secs_f64()
                    }),
                ),
            ],
        },
        Row {
            name: "lock and unlock",
            unit: "ns",
            aim: 20.0,
            is_rate: false,
            libraries: vec![("procession", Box::new(|| 1e3 * each(1_000_000, || done(lock.lock().unwrap()))))],
        },
    ];
    let (flags, wanted): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let met = print(rows, &wanted);
    std::process::exit(i32::from(!met && flags.iter().any(|flag| flag == "--strict")));
}
