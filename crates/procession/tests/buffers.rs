//! Large arrays on their way to Python workers and back.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use procession::{Array, Pool, PythonBuilder, PythonPool, TaskError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// How many numbers of eight bytes make 1 MiB.
const LARGE: usize = 1 << 17;

/// That of the checkout, which `scripts/setup` makes, unless there is another.
fn interpreter() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python");
    let named = std::env::var_os("PROCESSION_PYTHON").map(PathBuf::from);
    named.unwrap_or_else(|| if own.exists() { own } else { "python3".into() })
}

fn builder_of(builder: procession::Builder, function: &str) -> PythonBuilder {
    let builder = builder.python(function).interpreter(interpreter()).argument("-B");
    builder.path(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python"))
}

fn pool_of(workers: usize) -> PythonPool {
    builder_of(Pool::builder().workers(workers), "buffers:dispatch").build().unwrap()
}

fn call<A: Serialize + 'static, R: DeserializeOwned + 'static>(pool: &PythonPool, argument: A) -> Result<R, TaskError> {
    pool.submit(argument).wait()
}

fn counted(count: usize) -> Array<f64> {
    Array::from((0..count).map(|n| n as f64).collect::<Vec<_>>())
}

fn sum_of(count: usize) -> f64 {
    (count * (count - 1) / 2) as f64
}

#[test]
fn large_arrays_come_back_as_they_went() {
    let pool = pool_of(2);
    macro_rules! each {
        ($($number:ty),*) => {$({
            for shape in [vec![40_000], vec![3, 5, 4000], vec![0, 50_000], vec![7]] {
                let count = shape.iter().product::<usize>();
                let array = Array::new(shape, (0..count).map(|n| n as $number).collect()).unwrap();
                assert_eq!(call(&pool, ("echo", array.clone())), Ok(array));
            }
        })*};
    }
    each!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);
    // On both sides of where they begin to lie apart.
    for size in [32_767, 32_768, 32_769] {
        let array = Array::from(vec![7u8; size]);
        assert_eq!(call(&pool, ("echo", array.clone())), Ok(array));
    }
    let row: Vec<i16> = (0..50_000).map(|n| n as i16).collect();
    assert_eq!(call(&pool, ("echo", row.clone())), Ok(row));
    assert_eq!(call::<_, Vec<u8>>(&pool, ("echo", Array::from(vec![5u8; 40_000]))), Ok(vec![5u8; 40_000]));
    assert_eq!(call(&pool, ("echo", Array::new(vec![], vec![1.5]).unwrap())), Ok(1.5));
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Grids {
    first: Array<f64>,
    name: String,
    others: Vec<Array<u16>>,
    last: Option<Array<f32>>,
}

#[test]
fn large_arrays_within_values_come_back_too() {
    let pool = pool_of(2);
    let grids = Grids {
        first: counted(LARGE),
        name: "é".into(),
        others: vec![Array::from(vec![1; 50_000]), Array::from(vec![2, 3]), Array::from(vec![4; 60_000])],
        last: Some(Array::new(vec![2, 50_000], vec![0.5; 100_000]).unwrap()),
    };
    assert_eq!(call(&pool, ("echo", grids.clone())), Ok(grids.clone()));
    let many: Vec<(usize, Grids)> = pool.map((0..20usize).map(|n| ("echo", (n, grids.clone())))).unwrap();
    assert!(many.into_iter().enumerate().all(|(n, many)| many == (n, grids.clone())));
    let arrays = (0..30).map(|n| ("echo", Array::from(vec![n; 50_000])));
    for (n, array) in pool.imap::<_, Array<i32>, _>(arrays).enumerate() {
        assert_eq!(array.unwrap().items(), vec![n as i32; 50_000]);
    }
}

#[test]
fn results_need_not_lie_in_a_row_nor_be_writable() {
    let pool = pool_of(1);
    let array = Array::new(vec![2, LARGE / 2], counted(LARGE).into_items()).unwrap();
    let second: Array<f64> = call(&pool, ("every_second", array.clone())).unwrap();
    assert_eq!((second.shape(), second.is_fortran()), (&[2, LARGE / 4][..], false));
    assert!(second.items().iter().enumerate().all(|(n, item)| *item == 2.0 * n as f64));
    assert_eq!(call(&pool, ("read_only", array.clone())), Ok(array));
}

#[test]
fn a_task_may_write_to_its_array_and_nobody_else_sees_that() {
    let pool = pool_of(2);
    let (array, small) = (counted(LARGE), counted(10));
    let flags = call::<_, (bool, bool, bool, bool, bool)>(&pool, ("flags", array.clone()));
    assert_eq!(flags, Ok((true, true, false, true, true)));
    let wanted = |count: usize| sum_of(count) + count as f64;
    let sums = pool.map((0..40).map(|_| ("raised", array.clone())));
    assert_eq!(sums, Ok(vec![wanted(LARGE); 40]));
    assert_eq!(call(&pool, ("raised", small)), Ok(wanted(10)));
    assert_eq!(array, counted(LARGE));
}

#[test]
fn a_task_that_is_tried_again_finds_its_array_as_it_was_sent() {
    let pool = builder_of(Pool::builder().workers(1).retries(1), "buffers:dispatch").build().unwrap();
    let path = std::env::temp_dir().join(format!("procession-spoilt-{}", std::process::id()));
    let answer = call(&pool, ("spoil_once", counted(LARGE), path.to_string_lossy().into_owned()));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(answer, Ok(sum_of(LARGE)));
}

#[test]
fn results_outlive_their_worker() {
    let pool = pool_of(1);
    let tasks: Vec<_> =
        (0..5).map(|n| pool.submit::<_, Array<i64>>(("echo", Array::from(vec![n as i64; LARGE])))).collect();
    // The one worker does one after the other.
    assert!(matches!(call::<_, ()>(&pool, ("die",)), Err(TaskError::Crashed { signal: 9, .. })));
    assert_eq!(call(&pool, ("echo", counted(LARGE))), Ok(counted(LARGE)));
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.wait().unwrap().items(), vec![n as i64; LARGE]);
    }
}

#[test]
fn memory_is_used_again_and_what_a_worker_keeps_stays_as_it_is() {
    const MOST: u64 = 48 << 20;
    let pool = pool_of(1);
    call::<_, ()>(&pool, ("keep", counted(LARGE))).unwrap();
    call::<_, ()>(&pool, ("keep", counted(2 * LARGE))).unwrap();
    for n in 0..60 {
        let array = Array::from(vec![n; LARGE]);
        assert_eq!(call(&pool, ("echo", array.clone())), Ok(array.clone()));
        let text = call::<_, u8>(&pool, ("fail_after", array)).unwrap_err().to_string();
        assert!(text.contains("the result cannot be sent"), "{text}");
    }
    assert_eq!(call(&pool, ("held",)), Ok(vec![sum_of(LARGE), sum_of(2 * LARGE)]));
    assert!(call::<_, u64>(&pool, ("used",)).unwrap() < MOST);
    // What nobody asks for goes back, too.
    for _ in 0..60 {
        drop(pool.submit::<_, Array<f64>>(("echo", counted(LARGE))));
        call::<_, ()>(&pool, ("keep", counted(LARGE))).unwrap();
        call::<_, ()>(&pool, ("let_go",)).unwrap();
    }
    assert!(call::<_, u64>(&pool, ("used",)).unwrap() < MOST);
}

#[test]
fn a_worker_without_numpy_has_memoryviews() {
    type Halves = ((String, String, (usize, usize), bool), Array<f32>);
    let pool = builder_of(Pool::builder().workers(1), "bare:halves").build().unwrap();
    for width in [2, LARGE] {
        let array = Array::new(vec![2, width], vec![0.5f32; 2 * width]).unwrap();
        let (kind, back): Halves = call(&pool, array).unwrap();
        assert_eq!(kind, ("memoryview".into(), "f".into(), (2, width), false));
        assert!(back.shape() == [2, width] && back.items()[0] == 2.5 && back.items()[1..].iter().all(|n| *n == 0.5));
    }
}

#[test]
fn the_example_says_how_long_large_arrays_take() {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "-q", "-p", "procession", "--example", "buffers"]);
    // As the tests themselves are built, so that nothing is built once more.
    if cfg!(all(feature = "async", feature = "json", feature = "bytemuck")) {
        command.arg("--all-features");
    }
    let pipes = command.env("PROCESSION_PYTHON", interpreter()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = pipes.spawn().unwrap();
    program.stdin.take().unwrap().write_all(b"2\n3\n").unwrap();
    let output = program.wait_with_output().unwrap();
    let seconds = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{seconds}");
    assert_eq!(seconds.lines().filter(|line| line.parse::<f64>().is_ok_and(|it| it > 0.0)).count(), 2);
}
