//! Small threads that use a pool, in every order of their steps: no job may end twice, and nobody may wait for ever.
//!
//! A step is what a thread does while it holds the pool's lock, or what it does to one job; between two steps any other
//! thread may run. The orders in which the faces take these steps are the programs below.

use std::collections::HashSet;

use super::{Life, Stage, Verdict};

/// What a thread of the model does, from its first step to its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Program {
    /// Hands in a job and waits for it.
    Submit,
    /// Hands in a job, and gives it up as soon as it has: Ctrl-C.
    Interrupted,
    /// Runs what is at hand, and has it ended.
    Drive,
    Close,
    /// The initializer fails, or no worker can be started.
    Break,
    /// Terminates the pool; or it is collected, or its program exits.
    End,
    /// Forks, and has the child hand in a job.
    Fork,
}

/// Rules that a face might have forgotten.
#[derive(Clone, Copy, Debug, Default)]
struct Forgotten {
    /// To look again when the job is handed in.
    second_look: bool,
    /// That only the first who ends a job ends it.
    one_end: bool,
    /// That a job that was interrupted is taken from those at hand.
    removal: bool,
    /// That a forked child asks whose pool it is before it takes the lock.
    owner: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
struct Job {
    is_over: bool,
    ends: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Start,
    Pickling,
    /// Holds the lock.
    Inserting,
    Waiting(usize),
    /// Has seen these jobs at hand, and ends them one after the other.
    Ending(Vec<usize>),
    /// Has ended the first of these, and takes it away.
    Removing(Vec<usize>),
    Over,
    /// Waits for a lock that nobody gives back.
    Stuck,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    life: Life,
    stops: u8,
    jobs: Vec<Job>,
    at_hand: Vec<usize>,
    locked_by: Option<usize>,
    threads: Vec<At>,
}

struct Model {
    programs: Vec<Program>,
    forgotten: Forgotten,
    seen: HashSet<World>,
    ends: usize,
}

impl World {
    fn tell_workers(&mut self, stop: bool) {
        self.stops += u8::from(stop);
    }

    fn remove(&mut self, job: usize) {
        if let Some(place) = self.at_hand.iter().position(|other| *other == job) {
            self.at_hand.remove(place);
            let stop = self.life.job_ended();
            self.tell_workers(stop);
        }
    }
}

impl Model {
    fn run(programs: &[Program], forgotten: Forgotten) -> Result<usize, String> {
        let mut model = Model { programs: programs.to_vec(), forgotten, seen: HashSet::new(), ends: 0 };
        let world = World {
            life: Life::default(),
            stops: 0,
            jobs: Vec::new(),
            at_hand: Vec::new(),
            locked_by: None,
            threads: vec![At::Start; programs.len()],
        };
        model.explore(&world)?;
        assert!(model.ends > 0, "no order comes to an end");
        Ok(model.seen.len())
    }

    fn explore(&mut self, world: &World) -> Result<(), String> {
        if !self.seen.insert(world.clone()) {
            return Ok(());
        }
        let mut moved = false;
        for thread in 0..self.programs.len() {
            for next in self.step(world, thread) {
                moved = true;
                self.explore(&next)?;
            }
        }
        if moved {
            return Ok(());
        }
        self.ends += 1;
        check(world, &self.programs).map_err(|what| format!("{what}: {world:?}"))
    }

    /// What the next step of a thread may lead to; nothing where it cannot go on now.
    fn step(&self, world: &World, thread: usize) -> Vec<World> {
        let mut next = world.clone();
        let program = self.programs[thread];
        let is_free = world.locked_by.is_none();
        let after = match (&world.threads[thread], program) {
            (At::Over | At::Stuck, _) => return Vec::new(),
            (At::Start, Program::Fork) => self.fork(world),
            (At::Inserting, _) => {
                next.locked_by = None;
                self.insert(&mut next, program)
            }
            (At::Waiting(job), _) if world.jobs[*job].is_over => At::Over,
            (At::Waiting(_), _) => return Vec::new(),
            (At::Ending(jobs), _) => self.end_first(&mut next, jobs.clone()),
            _ if !is_free => return Vec::new(),
            (At::Start, Program::Submit | Program::Interrupted) => match world.life.look() {
                Verdict::Refuse => At::Over,
                // The reason is known, but what becomes of the job is decided when it is handed in.
                Verdict::Take | Verdict::Fail => At::Pickling,
            },
            (At::Pickling, _) => {
                next.locked_by = Some(thread);
                At::Inserting
            }
            (At::Removing(jobs), _) => {
                if !(self.forgotten.removal && program == Program::Interrupted) {
                    next.remove(jobs[0]);
                }
                ending(jobs[1..].to_vec(), program)
            }
            (At::Start, Program::Close) => {
                let stop = next.life.close();
                next.tell_workers(stop);
                At::Over
            }
            (At::Start, Program::Break) => {
                let stop = next.life.break_down();
                next.tell_workers(stop);
                ending(next.at_hand.clone(), program)
            }
            (At::Start, Program::End) => {
                let stop = next.life.end();
                next.tell_workers(stop);
                ending(next.at_hand.clone(), program)
            }
            (At::Start, Program::Drive) => return self.drive(world, thread),
        };
        next.threads[thread] = after;
        vec![next]
    }

    fn insert(&self, world: &mut World, program: Program) -> At {
        let verdict = if self.forgotten.second_look {
            world.life.at_hand += 1;
            Verdict::Take
        } else {
            world.life.hand_in()
        };
        if verdict == Verdict::Refuse {
            return At::Over;
        }
        let job = world.jobs.len();
        world.jobs.push(Job::default());
        world.at_hand.push(job);
        match (verdict, program) {
            (Verdict::Fail, _) => At::Ending(vec![job]),
            (_, Program::Interrupted) => At::Ending(vec![job]),
            _ => At::Waiting(job),
        }
    }

    /// Ends the first of the jobs, unless somebody else has.
    fn end_first(&self, world: &mut World, jobs: Vec<usize>) -> At {
        let job = &mut world.jobs[jobs[0]];
        if job.is_over && !self.forgotten.one_end {
            return At::Removing(jobs);
        }
        job.is_over = true;
        job.ends += 1;
        At::Removing(jobs)
    }

    /// A worker may have run any of the jobs at hand, as long as the workers were not told to end.
    fn drive(&self, world: &World, thread: usize) -> Vec<World> {
        if !world.life.needs_workers() {
            return Vec::new();
        }
        let delivered = |job: &usize| {
            let mut next = world.clone();
            next.threads[thread] = At::Ending(vec![*job]);
            next
        };
        world.at_hand.iter().filter(|job| !world.jobs[**job].is_over).map(delivered).collect()
    }

    /// In the child nobody gives back a lock that another thread of the parent held.
    fn fork(&self, world: &World) -> At {
        if self.forgotten.owner && world.locked_by.is_some() { At::Stuck } else { At::Over }
    }
}

fn ending(jobs: Vec<usize>, program: Program) -> At {
    match (jobs.is_empty(), program) {
        (false, _) => At::Ending(jobs),
        (true, Program::Drive) => At::Start,
        (true, _) => At::Over,
    }
}

/// What holds when no thread can go on.
fn check(world: &World, programs: &[Program]) -> Result<(), &'static str> {
    let waits = |(at, program): (&At, &Program)| *at != At::Over && *program != Program::Drive;
    if world.threads.iter().zip(programs).any(waits) {
        return Err("somebody waits for ever");
    }
    if world.jobs.iter().any(|job| job.ends != 1) {
        return Err("a job did not end once");
    }
    if !world.at_hand.is_empty() || world.life.at_hand() != 0 {
        return Err("a job is at hand after its end");
    }
    let stops = matches!(world.life.stage(), Stage::Drained | Stage::Ended);
    if world.life.stage() == Stage::Closing || world.stops != u8::from(stops) {
        return Err("the workers were not told once to end");
    }
    Ok(())
}

const ENDS: [Program; 3] = [Program::Close, Program::Break, Program::End];

fn teams() -> Vec<Vec<Program>> {
    use Program::{Drive, Fork, Interrupted, Submit};
    let mut teams = vec![vec![Submit, Submit, Drive]];
    for end in ENDS {
        teams.push(vec![Submit, Submit, Drive, end]);
        teams.push(vec![Submit, Interrupted, Drive, end, Fork]);
        teams.extend(ENDS.map(|other| vec![Submit, Submit, Drive, end, other]));
        teams.extend(ENDS.map(|other| vec![Submit, Interrupted, Drive, Drive, end, other]));
    }
    teams
}

#[test]
fn each_job_ends_once_and_nobody_waits_in_any_order_of_the_steps() {
    for team in teams() {
        let worlds = Model::run(&team, Forgotten::default()).unwrap_or_else(|what| panic!("{team:?}: {what}"));
        assert!(worlds > 20, "{team:?}: only {worlds}");
    }
}

/// The model finds what happens where a rule is forgotten.
#[test]
fn without_the_second_look_a_job_waits_for_ever() {
    let forgotten = Forgotten { second_look: true, ..Forgotten::default() };
    for end in ENDS {
        let what = Model::run(&[Program::Submit, Program::Drive, end], forgotten).unwrap_err();
        assert!(what.starts_with("somebody waits for ever"), "{end:?}: {what}");
    }
}

#[test]
fn a_job_that_two_may_end_ends_twice() {
    let forgotten = Forgotten { one_end: true, ..Forgotten::default() };
    for end in [Program::Break, Program::End] {
        let what = Model::run(&[Program::Submit, Program::Drive, end], forgotten).unwrap_err();
        assert!(what.starts_with("a job did not end once"), "{end:?}: {what}");
    }
}

#[test]
fn a_closed_pool_whose_interrupted_job_stays_at_hand_never_drains() {
    let forgotten = Forgotten { removal: true, ..Forgotten::default() };
    let what = Model::run(&[Program::Interrupted, Program::Drive, Program::Close], forgotten).unwrap_err();
    assert!(what.starts_with("a job is at hand after its end"), "{what}");
}

#[test]
fn a_lock_that_a_forked_child_takes_may_be_held_by_nobody() {
    let forgotten = Forgotten { owner: true, ..Forgotten::default() };
    let what = Model::run(&[Program::Submit, Program::Drive, Program::Fork], forgotten).unwrap_err();
    assert!(what.starts_with("somebody waits for ever"), "{what}");
}

#[test]
fn what_two_agree_to_is_what_the_stricter_allows() {
    let all = [Verdict::Take, Verdict::Fail, Verdict::Refuse];
    for (mine, strict) in all.iter().enumerate() {
        for (other, verdict) in all.iter().enumerate() {
            assert_eq!(strict.and(*verdict), all[mine.max(other)]);
        }
    }
}
