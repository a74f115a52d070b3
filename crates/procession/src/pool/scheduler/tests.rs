//! Single decisions; and the simulation that drives them through deaths.

use proptest::prelude::*;

use super::job::RECORD_NS;
use super::*;

fn submit(items: u64, chunk: Chunk) -> Scheduler {
    let mut s = Scheduler::new(2);
    s.submit(1, items, true, chunk, 1);
    s
}

/// The sizes of all records, of items that take 100 ns and so many bytes each as `weight` says of a record's first.
fn record_sizes(mut s: Scheduler, weight: impl Fn(u64) -> usize) -> Vec<u32> {
    let mut sizes = Vec::new();
    while let Some(grant) = s.grant() {
        let ticket = sizes.len() as Ticket;
        s.weigh(&grant, grant.count as usize * weight(grant.first));
        s.published(grant, ticket);
        for item in 0..grant.count {
            s.finished(ticket, item, 1);
        }
        s.done(ticket, grant.count, u64::from(grant.count) * 100);
        sizes.push(grant.count);
    }
    sizes
}

#[test]
fn records_start_small_grow_with_quick_items_and_shrink_towards_the_end() {
    let sizes = record_sizes(submit(10_000, Chunk::Adaptive), |_| 0);
    assert_eq!(sizes[0], 1);
    assert!(sizes.iter().any(|size| *size > 1000), "{sizes:?}");
    assert!(*sizes.last().unwrap() <= 500, "{sizes:?}");
    assert_eq!(sizes.iter().sum::<u32>(), 10_000);
}

#[test]
fn records_of_quick_items_are_worth_sending_until_the_last() {
    // 500 of these items take 50 us.
    let sizes = record_sizes(submit(10_000, Chunk::Adaptive), |_| 0);
    assert!(sizes[5..sizes.len() - 1].iter().all(|size| *size >= 500), "{sizes:?}");
    // Few items are for all workers.
    assert!(record_sizes(submit(100, Chunk::Adaptive), |_| 0).iter().all(|size| *size <= 50));
}

#[test]
fn a_record_that_seems_slow_once_does_not_make_the_next_ones_small() {
    let mut s = submit(100_000, Chunk::Adaptive);
    for ticket in 0..20 {
        let grant = s.grant().unwrap();
        s.published(grant, ticket);
        s.finished(ticket, 0, grant.count);
        // Another process had the processor meanwhile, once.
        let waited = if ticket == 12 { 50_000_000 } else { 0 };
        s.done(ticket, grant.count, u64::from(grant.count) * 100 + waited);
        assert!(ticket < 6 || grant.count > 1000, "{ticket}: {grant:?}");
    }
}

#[test]
fn heavy_items_make_small_records() {
    let sizes = record_sizes(submit(10_000, Chunk::Adaptive), |_| 10_000);
    assert_eq!(*sizes.iter().max().unwrap(), (1 << 20) / 10_000);
    assert_eq!(sizes.iter().sum::<u32>(), 10_000);
}

#[test]
fn a_heavy_item_does_not_make_the_records_of_light_ones_small() {
    let sizes = record_sizes(submit(10_000, Chunk::Adaptive), |first| if first == 0 { 1 << 30 } else { 0 });
    assert!(sizes.iter().any(|size| *size > 1000), "{sizes:?}");
}

#[test]
fn a_job_is_served_when_its_items_are_quick_and_each_processor_has_a_record() {
    for (nanos, served) in [(QUICK_NS as u64 - 1, true), (QUICK_NS as u64 + 1, false)] {
        let mut s = Scheduler::new(64);
        s.submit(1, 1, true, Chunk::Adaptive, 7);
        let grant = s.grant().unwrap();
        s.published(grant, 0);
        s.finished(0, 0, 1);
        s.done(0, 1, nanos);
        s.submit(2, 100_000, true, Chunk::Adaptive, 7);
        s.submit(3, 100_000, true, Chunk::Adaptive, 8);
        for ticket in 1..=6 {
            let grant = s.grant().unwrap();
            s.published(grant, ticket);
        }
        assert_eq!((s.is_served(2, 2), s.is_served(2, 3), s.is_served(3, 2)), (served, false, false));
    }
}

#[test]
fn slow_items_travel_alone() {
    let mut s = submit(100, Chunk::Adaptive);
    for ticket in 0..100 {
        let grant = s.grant().unwrap();
        assert_eq!(grant.count, 1);
        s.published(grant, ticket);
        s.finished(ticket, 0, 1);
        s.done(ticket, 1, RECORD_NS as u64);
    }
}

#[test]
fn a_fixed_chunk_is_never_cut() {
    let mut s = submit(103, Chunk::Fixed(10));
    let mut ticket = 0;
    while let Some(grant) = s.grant() {
        assert!(grant.count % 10 == 0 || grant.first + u64::from(grant.count) == 103);
        s.published(grant, ticket);
        (0..grant.count).for_each(|item| assert!(s.finished(ticket, item, 1).is_some()));
        s.done(ticket, grant.count, 1000);
        ticket += 1;
    }
}

#[test]
fn the_item_that_ran_is_lost_and_the_rest_waits_again() {
    let mut s = submit(8, Chunk::Fixed(8));
    let grant = s.grant().unwrap();
    s.published(grant, 0);
    s.finished(0, 0, 1);
    assert_eq!(s.died(0, Some(1), false), Some(Lost { job: 1, item: 1 }));
    assert_eq!(s.waiting(1), 6);
}

#[test]
fn a_record_that_kills_while_decoded_is_taken_apart_first() {
    let mut s = submit(4, Chunk::Fixed(4));
    let grant = s.grant().unwrap();
    s.published(grant, 0);
    assert_eq!(s.died(0, Some(0), true), None);
    let grant = s.grant().unwrap();
    assert_eq!((grant.first, grant.count, grant.chunk), (0, 1, 1));
    s.published(grant, 1);
    assert_eq!(s.died(1, Some(0), true), Some(Lost { job: 1, item: 0 }));
}

#[test]
fn records_suit_the_workers_that_there_are() {
    let mut s = submit(1000, Chunk::Adaptive);
    let out = |s: &mut Scheduler| std::iter::from_fn(|| s.grant()).count();
    assert_eq!(out(&mut s), 4 * 2 + 4);
    s.resize(10);
    assert_eq!(out(&mut s), 4 * (10 - 2));
    s.resize(1);
    assert_eq!(out(&mut s), 0);
}

#[test]
fn jobs_take_turns() {
    let mut s = Scheduler::new(2);
    s.submit(1, 100, true, Chunk::Adaptive, 1);
    s.submit(2, 100, true, Chunk::Adaptive, 2);
    let jobs: Vec<JobId> = (0..4).map(|_| s.grant().unwrap().job).collect();
    assert_eq!(jobs, [1, 2, 1, 2]);
}

#[test]
fn a_job_learns_from_the_last_one_of_its_function() {
    let mut s = Scheduler::new(2);
    s.submit(1, 1, true, Chunk::Adaptive, 7);
    let grant = s.grant().unwrap();
    s.published(grant, 0);
    s.finished(0, 0, 1);
    s.done(0, 1, 10_000);
    s.submit(2, 1000, true, Chunk::Adaptive, 7);
    s.submit(3, 1000, true, Chunk::Adaptive, 8);
    assert_eq!([s.grant().unwrap().count, s.grant().unwrap().count], [200, 1]);
}

fn wishes(priority: i32, needs: &[(u8, u16)], order: Option<Vec<u32>>) -> Option<Box<Wishes>> {
    Some(Box::new(Wishes { priority, order, needs: needs.to_vec() }))
}

fn granted(s: &mut Scheduler) -> Option<Grant> {
    if !s.is_ranked() {
        return s.grant();
    }
    let next = s.next()?;
    s.grant_by_rank(next)
}

#[test]
fn the_urgent_goes_first_and_what_lies_in_its_way_is_laid_aside() {
    let mut s = Scheduler::new(1);
    s.submit(1, 1000, true, Chunk::Fixed(1), 1);
    for ticket in 0..8 {
        let grant = granted(&mut s).unwrap();
        s.published(grant, ticket);
    }
    assert_eq!(granted(&mut s), None);
    s.submit_with(2, 3, true, Chunk::Fixed(1), 2, wishes(5, &[], None));
    s.tell_time(Duration::from_secs(100));
    let next = s.next().unwrap();
    let mut less = s.less_urgent(next);
    less.sort_unstable();
    assert_eq!(less, (0..8).collect::<Vec<_>>());
    // The first is with a worker.
    less[1..].iter().for_each(|ticket| s.laid_aside(*ticket));
    assert_eq!(s.to_put_forth(s.next()), None);
    let jobs: Vec<JobId> = (0..3).map(|_| granted(&mut s).unwrap().job).collect();
    assert_eq!(jobs, [2, 2, 2]);
    // What lay aside goes out again before the rest.
    let before = s.to_put_forth(s.next()).unwrap();
    s.put_forth(before, 20);
    assert!(s.less_urgent(s.next().unwrap()).is_empty());
}

#[test]
fn who_waits_grows_more_urgent_and_no_sooner_than_it_should() {
    let mut s = Scheduler::new(1);
    s.submit_with(1, 1000, true, Chunk::Fixed(1), 1, wishes(3, &[], None));
    s.tell_time(Duration::from_secs(1000));
    s.submit_with(2, 1000, true, Chunk::Fixed(1), 2, wishes(0, &[(0, 1)], None));
    s.equip(&[1]);
    s.submit(3, 1000, true, Chunk::Fixed(1), 3);
    let mut jobs = Vec::new();
    for tenth in 0..70 {
        s.tell_time(Duration::from_secs(1000) + Duration::from_millis(100 * tenth));
        let grant = granted(&mut s).unwrap();
        s.published(grant, tenth);
        s.finished(tenth, 0, 1);
        s.done(tenth, 1, 100_000_000);
        jobs.push(grant.job);
    }
    let at = |job: JobId| jobs.iter().enumerate().filter(|(_, j)| **j == job).map(|(at, _)| at).collect::<Vec<_>>();
    // Each gets a turn in some three seconds, and all others go to the urgent one.
    assert!(at(2).len() == 2 && at(3).len() == 2 && at(1).len() == 66, "{jobs:?}");
    assert!((29..34).contains(&at(2)[0]) && (29..34).contains(&at(3)[0]), "{jobs:?}");
}

#[test]
fn chunks_go_out_in_the_order_that_was_asked_for() {
    let mut s = Scheduler::new(2);
    s.submit_with(1, 11, true, Chunk::Fixed(3), 1, wishes(0, &[], Some(vec![3, 1, 2, 0])));
    let grants: Vec<_> = (0..4).map(|_| granted(&mut s).unwrap()).map(|grant| (grant.first, grant.count)).collect();
    assert_eq!(grants, [(9, 2), (3, 3), (6, 3), (0, 3)]);
    assert_eq!(s.waiting(1), 0);
}

#[test]
fn a_record_holds_its_units_until_it_has_ended() {
    let mut s = Scheduler::new(4);
    s.equip(&[3, 1]);
    s.submit_with(1, 4, true, Chunk::Fixed(1), 1, wishes(0, &[(0, 2)], None));
    s.submit_with(2, 4, true, Chunk::Fixed(1), 2, wishes(0, &[(0, 1), (1, 1)], None));
    let first = granted(&mut s).unwrap();
    assert_eq!(s.units_of(&first), [(0, 0), (0, 1)]);
    s.published(first, 0);
    let second = granted(&mut s).unwrap();
    assert_eq!((second.job, s.units_of(&second)), (2, &[(0, 2), (1, 0)][..]));
    s.published(second, 1);
    assert_eq!(granted(&mut s), None);
    // Its job is not wanted any more, and its worker runs on.
    s.cancel(1);
    assert_eq!(granted(&mut s), None);
    assert_eq!(s.died(0, Some(0), false), Some(Lost { job: 1, item: 0 }));
    assert_eq!(granted(&mut s), None);
    s.died(1, Some(0), false);
    let third = granted(&mut s).unwrap();
    assert_eq!(s.units_of(&third), [(0, 0), (1, 0)]);
    s.withdrawn(third, 0);
    assert_eq!(s.units_of(&third), []);
    assert!(granted(&mut s).is_some());
}

/// What a simulated worker does next with the record it holds.
#[derive(Clone, Debug)]
enum Step {
    Finish,
    Die { running: bool, decoding: bool },
    HandBack,
    Separate,
}

impl Step {
    /// How many items of a record have an outcome before it, of so many that would.
    fn items_run(&self, upto: u32) -> u32 {
        if matches!(self, Step::Die { decoding: true, .. } | Step::Separate) { 0 } else { upto }
    }

    /// The record ends so, after `ran` items and `nanos`; the item that is lost with it.
    fn end(&self, s: &mut Scheduler, ticket: Ticket, ran: u32, nanos: u64) -> Option<Lost> {
        match *self {
            Step::Finish | Step::HandBack => s.done(ticket, ran, nanos),
            Step::Separate => s.separate(ticket),
            Step::Die { running, decoding } => return s.died(ticket, (running || decoding).then_some(ran), decoding),
        }
        None
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Finish),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(running, decoding)| Step::Die { running, decoding }),
        1 => Just(Step::HandBack),
        1 => Just(Step::Separate),
    ]
}

proptest! {
    #[test]
    fn every_item_gets_exactly_one_outcome(
        items in 0u64..300,
        chunk in prop_oneof![Just(Chunk::Adaptive), (1u32..40).prop_map(Chunk::Fixed)],
        workers in 1usize..5,
        steps in proptest::collection::vec((step(), 0u32..50, 1u64..1_000_000), 1..60),
    ) {
        let mut s = Scheduler::new(workers);
        s.submit(9, items / 2, false, chunk, 1);
        s.extend(9, items - items / 2, true);
        let mut outcomes = vec![0u32; items as usize];
        let mut held: VecDeque<(Ticket, Grant)> = VecDeque::new();
        let mut ticket = 0;
        let mut script = steps.into_iter().chain(std::iter::repeat((Step::Finish, u32::MAX, 1000)));
        loop {
            while let Some(grant) = s.grant() {
                s.published(grant, ticket);
                held.push_back((ticket, grant));
                ticket += 1;
            }
            let Some((ticket, grant)) = held.pop_front() else { break };
            let (step, upto, nanos) = script.next().unwrap();
            let ran = step.items_run(upto.min(grant.count));
            for item in 0..ran {
                let (_, index) = s.finished(ticket, item, 1).unwrap();
                outcomes[index as usize] += 1;
            }
            if let Some(lost) = step.end(&mut s, ticket, ran, nanos) {
                outcomes[lost.item as usize] += 1;
            }
        }
        prop_assert!(outcomes.iter().all(|n| *n == 1), "{:?}", outcomes);
        prop_assert_eq!(s.out(), 0);
    }

    #[test]
    fn special_jobs_get_one_outcome_an_item_too_and_no_unit_is_held_twice(
        kinds in proptest::collection::vec((-3i32..4, 0u16..3, 0u16..2, any::<bool>(), 1u64..60, 1u32..4), 1..6),
        workers in 1usize..5,
        steps in proptest::collection::vec((step(), 0u32..50, 1u64..1_000_000, 0u64..3000, any::<bool>()), 1..80),
    ) {
        let counts = [2u16, 1];
        let mut s = Scheduler::new(workers);
        s.equip(&counts);
        let mut outcomes = Vec::new();
        for (job, (priority, cards, licenses, ordered, items, chunk)) in kinds.into_iter().enumerate() {
            let needs: Vec<_> = [(0, cards), (1, licenses)].into_iter().filter(|(_, count)| *count > 0).collect();
            let chunks = items.div_ceil(chunk.into()) as u32;
            let order = ordered.then(|| (0..chunks).map(|at| (at + chunks / 2) % chunks).rev().collect());
            s.submit_with(job as JobId, items, true, Chunk::Fixed(chunk), job as u64, wishes(priority, &needs, order));
            outcomes.push(vec![0u32; items as usize]);
        }
        let mut held: VecDeque<(Ticket, Grant)> = VecDeque::new();
        let mut aside: Vec<(Ticket, Grant)> = Vec::new();
        let mut ticket = 0;
        let mut now = Duration::ZERO;
        let mut script = steps.into_iter().chain(std::iter::repeat((Step::Finish, u32::MAX, 1000, 1, false)));
        loop {
            s.tell_time(now);
            loop {
                while let Some(before) = s.to_put_forth(s.next()) {
                    let at = aside.iter().position(|(other, _)| *other == before).unwrap();
                    let (_, grant) = aside.swap_remove(at);
                    s.put_forth(before, ticket);
                    held.push_back((ticket, grant));
                    ticket += 1;
                }
                let Some(grant) = granted(&mut s) else { break };
                s.published(grant, ticket);
                held.push_back((ticket, grant));
                ticket += 1;
            }
            let mut all: Vec<Unit> = held.iter().chain(&aside).flat_map(|(_, grant)| s.units_of(grant).to_vec()).collect();
            let many = all.len();
            prop_assert!(all.iter().all(|(kind, number)| *number < counts[usize::from(*kind)]), "{:?}", all);
            all.sort_unstable();
            all.dedup();
            prop_assert_eq!(all.len(), many);
            let (step, upto, nanos, passed, gives_way) = script.next().unwrap();
            now += Duration::from_millis(passed);
            if gives_way && let Some(next) = s.next() {
                for ticket in s.less_urgent(next) {
                    let at = held.iter().position(|(other, _)| *other == ticket).unwrap();
                    // That which a worker is at stays.
                    if at > 0 {
                        s.laid_aside(ticket);
                        aside.extend(held.remove(at));
                    }
                }
            }
            let Some((ticket, grant)) = held.pop_front() else { break };
            let ran = step.items_run(upto.min(grant.count));
            for item in 0..ran {
                let (job, index) = s.finished(ticket, item, 1).unwrap();
                outcomes[job as usize][index as usize] += 1;
            }
            if let Some(lost) = step.end(&mut s, ticket, ran, nanos) {
                outcomes[lost.job as usize][lost.item as usize] += 1;
            }
        }
        prop_assert!(outcomes.iter().flatten().all(|n| *n == 1), "{:?}", outcomes);
        prop_assert_eq!((s.out(), s.pending()), (0, 0));
    }
}
