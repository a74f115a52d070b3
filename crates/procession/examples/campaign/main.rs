//! Many tasks, of which one in fifty goes wrong in one of seven ways: every outcome is checked, and that nothing is left.

#[path = "../../tests/it/system.rs"]
#[allow(dead_code)]
mod system;
mod tasks;

use procession::StartMethod;

fn main() {
    let tasks = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(700);
    for method in [StartMethod::Forkserver, StartMethod::Spawn] {
        let left = tasks::run(method, tasks).unwrap_or_else(|error| panic!("{method:?}: {error}"));
        assert_eq!(left, tasks::Left::default(), "{method:?}");
        println!("{tasks} tasks by {method:?}: every outcome right, nothing left");
    }
    let left = system::children_of(std::process::id());
    assert!(left.len() <= 1, "beside the forkserver there are {left:?}");
}
