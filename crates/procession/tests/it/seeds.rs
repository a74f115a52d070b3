//! Seeds: what a task draws depends on its place alone.

use std::collections::HashSet;

use procession::{Event, Pool, Seed, current_task};

use super::METHOD;

fn pool_of(workers: usize) -> Pool {
    Pool::builder().workers(workers).start_method(METHOD).build().unwrap()
}

fn draw(_: u32) -> u64 {
    current_task().seed().number()
}

fn expected(seed: &Seed, items: u64) -> Vec<u64> {
    (0..items).map(|place| seed.child(place).number()).collect()
}

#[test]
fn tasks_draw_the_same_whoever_runs_them_and_by_which_method() {
    for workers in [1, 2, 7] {
        let pool = pool_of(workers);
        let (seed, seeded) = (Seed::from(2024), pool.seeded(2024));
        let all = expected(&seed, 500);
        assert_eq!(seeded.map(draw, 0..500).unwrap(), all);
        assert_eq!(seeded.map_each(draw, 0..500).map(Result::unwrap).collect::<Vec<_>>(), all);
        assert_eq!(seeded.imap(draw, 0..500).map(Result::unwrap).collect::<Vec<_>>(), all);
        assert!(seeded.imap_unordered(draw, 0..500).all(|(place, number)| number == Ok(all[place])));
        assert_eq!(seeded.map_init(|| 1, |_: &mut i32, x: u32| draw(x), 0..500).unwrap(), all);
        let with = seeded.with(5u32).unwrap();
        assert_eq!(with.map(|_: &u32, x: u32| draw(x), 0..500).unwrap(), all);
        assert_eq!(with.map_each(|_: &u32, x: u32| draw(x), 0..500).map(Result::unwrap).collect::<Vec<_>>(), all);
        assert_eq!(seeded.submit(draw, 0).wait().unwrap(), all[0]);
        // Of the pool itself nothing has changed.
        let unseeded: HashSet<u64> = pool.map(draw, 0..500).unwrap().into_iter().collect();
        assert!(unseeded.len() == 500 && !all.iter().any(|number| unseeded.contains(number)));
    }
}

#[test]
fn each_call_of_a_seeded_pool_has_the_next_child() {
    let pool = Pool::builder().workers(2).start_method(METHOD).seed([5, 6]).build().unwrap();
    let seed = Seed::from([5, 6]);
    for call in 0..3 {
        assert_eq!(pool.map(draw, 0..50).unwrap(), expected(&seed.child(3 * call), 50));
        assert_eq!(pool.submit(draw, 0).wait().unwrap(), expected(&seed.child(3 * call + 1), 1)[0]);
        assert_eq!(pool.seeded(1).map(draw, 0..50).unwrap(), expected(&Seed::from(1), 50));
        let with = pool.with(0u8).unwrap();
        assert_eq!(with.map(|_: &u8, x: u32| draw(x), 0..50).unwrap(), expected(&seed.child(3 * call + 2), 50));
    }
}

#[test]
fn a_task_that_is_tried_again_draws_the_same() {
    fn once((crashed, place): (Event, u64)) -> (u64, Option<u64>) {
        let number = current_task().seed().number();
        if place % 10 == 3 && !crashed.is_set() {
            crashed.set();
            std::process::abort();
        }
        (number, current_task().index())
    }
    let pool = Pool::builder().workers(2).retries(3).start_method(METHOD).build().unwrap();
    let crashed = Event::new().unwrap();
    let drawn = pool.seeded(9).map(once, (0..40).map(|place| (crashed.clone(), place))).unwrap();
    assert!(crashed.is_set());
    let all = expected(&Seed::from(9), 40).into_iter().zip(0..).map(|(number, place)| (number, Some(place)));
    assert_eq!(drawn, all.collect::<Vec<_>>());
}

#[test]
fn a_task_knows_itself_and_what_is_none_is_quiet() {
    fn look(_: u8) -> (String, Option<u64>, bool, Option<u64>) {
        let task = current_task();
        // The same task has one seed, given or not.
        let same = task.seed() == task.seed();
        let elsewhere = std::thread::spawn(|| current_task().index()).join().unwrap();
        (task.function().to_owned(), task.index(), same, elsewhere)
    }
    let pool = pool_of(2);
    for (place, (function, index, same, elsewhere)) in pool.map(look, [0; 30]).unwrap().into_iter().enumerate() {
        assert!(function.ends_with("::look"), "{function}");
        assert_eq!((index, same, elsewhere), (Some(place as u64), true, None));
    }
    let here = current_task();
    assert_eq!((here.function(), here.index()), ("", None));
    assert_ne!(here.seed(), current_task().seed());
}
