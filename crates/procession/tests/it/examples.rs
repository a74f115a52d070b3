//! Every example runs, and says what it should.

use std::process::Command;

fn run(name: &str) -> String {
    run_with(name, &[])
}

fn run_with(name: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "-q", "-p", "procession", "--example", name]);
    // As the tests themselves are built, so that nothing is built once more.
    if cfg!(all(feature = "async", feature = "json", feature = "bytemuck")) {
        command.arg("--all-features");
    }
    let output = command.arg("--").args(arguments).output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {errors}");
    text.into_owned()
}

#[test]
fn the_examples_run() {
    assert!(run("hello_process").contains("says hello to you"));
    let mut workers: Vec<String> = run("pool_map").lines().map(str::to_owned).collect();
    workers.sort();
    assert_eq!(workers, ["Worker 0", "Worker 1", "Worker 2", "Worker 3"]);
    let four = run("four_processes");
    assert!((1..=4).all(|n| four.contains(&format!("Process {n}: {n}\n"))), "{four}");
    assert!(run("primes").starts_with("17984 primes below 200000"));
    assert_eq!(run("word_count").lines().count(), 10);
    assert_eq!(run("dice"), run_with("dice", &["2024"]));
    let isolation = run("crash_isolation");
    for expected in
        ["1: panicked at", "2: the process was ended by signal 6", "3: took longer", "4: the function ended"]
    {
        assert!(isolation.contains(expected), "{isolation}");
    }
    assert!(isolation.contains("6: took more memory") && isolation.contains("and again: [49, 64, 81]"), "{isolation}");
    assert!(run_with("streaming", &["20"]).starts_with("40 MiB went through"));
    assert!(run_with("campaign", &["60"]).lines().all(|line| line.ends_with("every outcome right, nothing left")));
    let shared = run("shared_state");
    assert!(shared.contains("6 lines"), "{shared}");
}
