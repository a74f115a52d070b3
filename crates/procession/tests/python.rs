//! Pools whose workers are Python interpreters, and what both languages share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use procession::{
    Array, Bytes, Event, Lock, Poisoned, Pool, PythonPool, Queue, Seed, Semaphore, SharedSlice, TaskError,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const LIMIT: Duration = Duration::from_secs(100);

/// That of the checkout, which `scripts/setup` makes, unless there is another.
fn interpreter() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python");
    let named = std::env::var_os("PROCESSION_PYTHON").map(PathBuf::from);
    named.unwrap_or_else(|| if own.exists() { own } else { "python3".into() })
}

fn pool_of(function: &str, workers: usize) -> PythonPool {
    let builder = Pool::builder().workers(workers).python(function).interpreter(interpreter()).argument("-B");
    builder.path(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python")).build().unwrap()
}

fn call<A: Serialize + 'static, R: DeserializeOwned + 'static>(pool: &PythonPool, argument: A) -> Result<R, TaskError> {
    pool.submit(argument).wait()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    name: String,
    score: f64,
    tags: Vec<Option<i8>>,
    raw: Bytes,
    by_name: BTreeMap<String, (bool, i128)>,
}

#[test]
fn values_come_back_from_python_as_they_went() {
    let pool = pool_of("tasks:dispatch", 2);
    let record = Record {
        name: "é".into(),
        score: -0.5,
        tags: vec![None, Some(-3)],
        raw: Bytes(vec![0, 255]),
        by_name: [("a".into(), (true, 1 << 100))].into(),
    };
    assert_eq!(call::<_, Record>(&pool, ("echo", record.clone())), Ok(record));
    let kind = |value: (&'static str, (u8, u64))| call::<_, (String, String)>(&pool, value).unwrap();
    assert_eq!(kind(("kind", (1, u64::MAX))), ("tuple".into(), "(1, 18446744073709551615)".into()));
    let array = Array::new(vec![2, 3], vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let scaled: Array<f32> = call(&pool, ("scaled", array.clone(), 2)).unwrap();
    assert_eq!((scaled.shape(), scaled.items()), (&[2, 3][..], &[2.0, 4.0, 6.0, 8.0, 10.0, 12.0][..]));
    let turned: Array<f32> = call(&pool, ("turned", array)).unwrap();
    assert!(turned.is_fortran() && turned.shape() == [2, 3] && turned.items() == [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    assert_eq!(call::<_, Array<f32>>(&pool, ("echo", turned.clone())), Ok(turned));
    assert_eq!(
        call::<_, Vec<String>>(&pool, ("environment",)).unwrap().iter().find(|name| *name == "PROCESSION_CHILD"),
        None
    );
    let large: Vec<Array<u64>> = pool.map((0..20u64).map(|n| ("echo", Array::from(vec![n; 1 << 17])))).unwrap();
    assert!(large.iter().enumerate().all(|(n, array)| array.items() == vec![n as u64; 1 << 17]));
    let numbers: Vec<(usize, i64)> =
        pool.imap_unordered((0..1000).map(|n: i64| ("echo", n))).map(|(place, n)| (place, n.unwrap())).collect();
    assert!(numbers.len() == 1000 && numbers.iter().all(|(place, n)| *place as i64 == *n));
}

#[test]
fn what_a_python_function_does_to_its_worker_is_the_outcome_of_its_task_alone() {
    let pool = pool_of("tasks:dispatch", 2);
    match call::<_, ()>(&pool, ("fail", "no")) {
        Err(TaskError::Raised { kind, message, traceback, .. }) => {
            assert_eq!((&*kind, &*message), ("ValueError", "no"));
            assert!(traceback.contains("tasks.py") && traceback.contains("in fail"), "{traceback}");
        }
        other => panic!("{other:?}"),
    }
    let text = call::<_, ()>(&pool, ("unsendable",)).unwrap_err().to_string();
    assert!(text.starts_with("TypeError: the result cannot be sent: object has no neutral form"), "{text}");
    let text = call::<_, u8>(&pool, ("echo", "a text")).unwrap_err().to_string();
    assert!(text.contains("u8") && text.contains("a text"), "{text}");
    let before = pool.process_ids();
    assert!(matches!(call::<_, ()>(&pool, ("die",)), Err(TaskError::Crashed { signal: 9, .. })));
    assert_eq!(pool.map::<_, u8, _>((0..10).map(|n| ("echo", n))).unwrap(), (0..10).collect::<Vec<u8>>());
    assert!(pool.process_ids().iter().any(|id| !before.contains(id)));
    let refused = Pool::builder().initializer(|| ()).python("tasks:dispatch").interpreter(interpreter()).build();
    assert!(refused.unwrap_err().to_string().contains("initializer"));
    for (function, expected) in [("tasks:nothing", "AttributeError"), ("no_module:f", "ModuleNotFoundError")] {
        let failed = pool_of(function, 1).map::<_, u8, _>([0]).unwrap_err();
        assert!(failed.to_string().contains(expected) && failed.function == function, "{failed}");
    }
}

#[derive(Serialize)]
struct Shared {
    queue: Queue<Answer>,
    replies: Queue<Answer>,
    lock: Lock<()>,
    numbers: SharedSlice<f64>,
    event: Event,
    semaphore: Semaphore,
}

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    sum: f64,
    array: Array<f64>,
}

#[test]
fn queues_locks_and_numbers_are_shared_with_python() {
    let pool = pool_of("tasks:dispatch", 1);
    let replies = Queue::neutral().unwrap();
    let (queue, lock, numbers) = (Queue::neutral().unwrap(), Lock::new(()).unwrap(), SharedSlice::new(4).unwrap());
    let (event, semaphore) = (Event::new().unwrap(), Semaphore::new(1).unwrap());
    let (queue2, lock2, numbers2) = (queue.clone(), lock.clone(), numbers.clone());
    let shared = Shared {
        queue: queue2,
        replies: replies.clone(),
        lock: lock2,
        numbers: numbers2,
        event: event.clone(),
        semaphore: semaphore.clone(),
    };
    let guard = lock.lock().unwrap();
    let task = pool.submit::<_, Answer>(("take_part", shared));
    numbers.lock().unwrap()[0] = 4.0;
    assert!(!event.is_set());
    drop(guard);
    if !event.wait_timeout(LIMIT) {
        panic!("{:?}", task.wait_timeout(LIMIT));
    }
    let answer = queue.get().unwrap();
    assert_eq!((answer.sum, answer.array.items()), (10.0, &[5.5, 1.5, 1.5, 1.5][..]));
    assert_eq!((semaphore.permits(), numbers.to_vec()), (0, answer.array.items().to_vec()));
    replies.put(Answer { sum: 1.0, array: Array::from(vec![]) }).unwrap();
    assert_eq!(task.wait().unwrap().sum, 1.0);

    let (made, slice): (Queue<(String, Option<u8>)>, SharedSlice<i32>) = call(&pool, ("make",)).unwrap();
    assert_eq!((made.get().unwrap(), slice.to_vec()), (("made".into(), None), vec![1, -2]));
    let text = call::<_, (Queue<u8>, SharedSlice<i64>)>(&pool, ("make",)).unwrap_err().to_string();
    assert!(text.contains("int32") && text.contains("int64"), "{text}");

    let text = call::<_, ()>(&pool, ("echo", Queue::<u8>::new().unwrap())).unwrap_err().to_string();
    assert!(text.contains("Queue::neutral"), "{text}");
    let refused = Queue::neutral().unwrap().put(event).unwrap_err().to_string();
    assert!(refused.contains("arguments of tasks"), "{refused}");
}

#[test]
fn a_lock_that_a_dead_python_worker_held_is_given_on() {
    let pool = pool_of("tasks:dispatch", 1);
    let (lock, numbers) = (Lock::new(()).unwrap(), SharedSlice::<u32>::new(1).unwrap());
    assert!(matches!(call::<_, ()>(&pool, ("hold", lock.clone())), Err(TaskError::Crashed { .. })));
    assert!(lock.lock().is_err());
    assert!(lock.lock().is_ok());
    assert!(matches!(call::<_, ()>(&pool, ("hold_slice", numbers.clone())), Err(TaskError::Crashed { .. })));
    assert_eq!(numbers.lock().unwrap_or_else(Poisoned::into_inner)[0], 7);
}

#[test]
fn a_worker_of_another_version_says_which_both_have() {
    use std::os::unix::fs::PermissionsExt;
    // What a program of another version would have written into the order, before its worker reads it.
    let (path, interpreter) = (std::env::temp_dir().join(format!("other-{}", std::process::id())), interpreter());
    let interpreter = std::path::absolute(interpreter).unwrap();
    let script = format!(
        "#!{0}\nimport os, sys\nos.pwrite(3, (99).to_bytes(4, 'little'), 49)\nos.execv('{0}', ['{0}', *sys.argv[1:]])\n",
        interpreter.display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let pool = Pool::builder().workers(1).python("builtins:abs").interpreter(&path).build().unwrap();
    let text = pool.submit::<_, i32>(-1).wait().unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    let ours = procession::channel::neutral::WIRE_VERSION;
    assert!(text.contains("version 99") && text.contains(&format!("version {ours}")), "{text}");
}

#[test]
fn seeds_are_those_of_numpy() {
    let pool = pool_of("tasks:dispatch", 1);
    let numbers = [0, 7, u64::from(u32::MAX), 1 << 32, u64::MAX];
    let mut cases = Vec::new();
    for number in numbers {
        cases.push((Seed::from(number), vec![number], vec![]));
        cases.push((Seed::from([number, 3, number, 4, 5]), vec![number, 3, number, 4, 5], vec![]));
        cases.push((Seed::from(3).child(number), vec![3], vec![number]));
        cases.push((Seed::from([1, number]).child(0).child(number), vec![1, number], vec![0, number]));
        cases.push((Seed::from([number; 7]).child(2), vec![number; 7], vec![2]));
    }
    for (seed, entropy, key) in cases {
        let words: Vec<u32> = call(&pool, ("state_of", entropy, key, 11)).unwrap();
        assert_eq!(words, seed.words::<11>(), "{seed:?}");
    }
}

#[test]
fn python_tasks_draw_from_the_seed_of_the_rust_program() {
    type Drawn = (u64, Vec<u64>, u64);
    let draws = |pool: &PythonPool| pool.map::<_, Drawn, _>((0..20).map(|_| ("draw", 3))).unwrap();
    let (one, three) = (pool_of("tasks:dispatch", 1), pool_of("tasks:dispatch", 3));
    let drawn = draws(&one.seeded(2024));
    assert_eq!(drawn, draws(&three.seeded(2024)));
    assert_ne!(drawn, draws(&three.seeded(2025)));
    assert!(drawn.iter().enumerate().all(|(place, (index, ..))| place as u64 == *index));
    let mut all: Vec<u64> = drawn.iter().flat_map(|(_, numbers, more)| numbers.iter().chain([more])).copied().collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 80);
    // Without a seed nobody knows them.
    assert_ne!(draws(&one), draws(&one));
    let seeded = one.seeded([1, 2]);
    let each: Vec<Drawn> = seeded.imap([("draw", 2), ("draw", 2)]).collect::<Result<_, _>>().unwrap();
    assert_eq!(seeded.submit(("draw", 2)).wait(), Ok(each[0].clone()));
    assert_ne!(each[0].1, each[1].1);
}
