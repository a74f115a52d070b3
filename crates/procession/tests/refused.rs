//! What does not build says why, in words of this crate: this file is built once more with `--cfg refused`.

#[cfg(refused)]
mod calls {
    use procession::{Pool, Process};

    pub fn by_copy(pool: &Pool, factor: u64) {
        let _ = pool.map(move |x: u64| x * factor, 0..4);
        let _ = pool.submit(move |x: u64| x + factor, 4);
        let _ = pool.map_init(move || factor, |state, x: u64| *state + x, 0..4);
        let _ = pool.with(1u64).unwrap().map(move |one, x: u64| one + x + factor, 0..4);
        let _ = Process::spawn(move |x: u64| x - factor, 4);
        let _ = Pool::builder().initializer(move || assert_eq!(factor, 1)).build();
    }

    #[cfg(refused = "moves")]
    pub fn by_move_to_a_pool(pool: &Pool, name: String) {
        let _ = pool.map(move |x: u64| format!("{name} {x}"), 0..4);
    }

    #[cfg(refused = "moves")]
    pub fn by_move_to_a_process(name: String) {
        let _ = Process::spawn(move |x: u64| format!("{name} {x}"), 4);
    }
}

#[cfg(refused)]
#[test]
fn calls_are_built() {
    calls::by_copy(&procession::Pool::new(1).unwrap(), 3);
}

/// How often the compiler says our sentence when this file is built with these settings.
#[cfg(not(refused))]
fn refusals(settings: &[&str]) -> (usize, String) {
    let mut command = std::process::Command::new(env!("CARGO"));
    command.args(["rustc", "-q", "-p", "procession", "--test", "refused", "--color", "never"]);
    // As the tests themselves are built, so that nothing is built once more.
    if cfg!(all(feature = "async", feature = "json", feature = "bytemuck")) {
        command.arg("--all-features");
    }
    command.arg("--");
    command.args(settings.iter().flat_map(|setting| ["--cfg", setting]));
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && errors.contains("`Pool::with`"), "{errors}");
    let sentence = "procession: this closure captures variables, and only a function's type crosses to another process";
    (
        errors.matches(&format!("panicked: {sentence}")).count() + errors.matches(&format!("]: {sentence}")).count(),
        errors,
    )
}

#[cfg(not(refused))]
#[test]
fn a_closure_that_captures_does_not_build_and_says_why() {
    let (count, errors) = refusals(&["refused"]);
    assert_eq!(count, 6, "{errors}");
    let (count, errors) = refusals(&["refused", "refused=\"moves\""]);
    assert_eq!(count, 2, "{errors}");
}
