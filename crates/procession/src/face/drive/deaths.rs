//! What the death of a worker means: whose task it was, and whether and when another worker takes its place.

use std::time::{Duration, Instant};

use super::super::crew::{Blame, Terms};
use super::super::error::TaskError;
use super::super::job::Answer;
use super::super::process::never_arrived;
use super::Shared;
use super::deliver::{explain, tally};
use crate::platform::Ending;
use crate::pool::{Death, JobId, timeline};
use crate::process::{Progress, Started};

/// The longest pause before a worker is started again.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Why a program of another language refused its order, in its words: no other would take it either.
fn refusal(started: &Started) -> Option<String> {
    let is_refused = matches!(started.progress(), Ok(Progress::Failed));
    is_refused.then(|| String::from_utf8_lossy(&started.outcome().unwrap_or_default()).into_owned())
}

impl Shared {
    pub(super) fn bury(&mut self, death: &Death, terms: &Terms) {
        let member = self.crew.members.remove(&death.index);
        self.driver.vacate(death.index);
        let blame = member.as_ref().and_then(|member| member.blame.clone());
        let counts = self.driver.board.counts();
        if !death.expected {
            counts.died();
        }
        let ending = member.as_ref().and_then(|member| member.started.child.ending().ok().flatten());
        let why = ending.map_or(TaskError::Crashed { signal: 0 }, TaskError::from);
        for lost in &death.lost {
            let why = match &blame {
                Some(Blame { job, item, why }) if (*job, *item) == (lost.job, lost.item) => why.clone(),
                // Killed for the sake of another task: this one is innocent.
                Some(_) => {
                    self.driver.scheduler.again(lost.job, lost.item);
                    continue;
                }
                None => why.clone(),
            };
            let Some(job) = self.jobs.get_mut(&lost.job) else { continue };
            if timeline::recording() != 0 {
                explain(&counts, lost.job, lost.item, Some(&why));
            }
            let tried = job.retried.entry(lost.item).or_default();
            if *tried < terms.retries && why != TaskError::Cancelled {
                *tried += 1;
                counts.retried(job.entry);
                self.driver.scheduler.again(lost.job, lost.item);
                continue;
            }
            let was_done = job.is_done();
            let before = (job.done, job.failed);
            job.store(lost.item, Answer::failed(why));
            tally(&counts, job, before);
            if !was_done && job.is_done() {
                self.finish(lost.job);
            }
        }
        if !self.life.needs_workers() || death.expected {
            return;
        }
        if death.starting {
            self.false_starts += 1;
            let ending = ending.unwrap_or(Ending::Exited(1));
            let arrived = member.as_ref().is_some_and(|m| !matches!(m.started.progress(), Ok(Progress::Started)));
            let refused = member.as_ref().and_then(|member| refusal(&member.started));
            let why = match refused {
                Some(message) => TaskError::NoProcess { message },
                None if arrived => ending.into(),
                None => never_arrived(ending),
            };
            if self.false_starts > terms.restarts || matches!(why, TaskError::NoProcess { .. }) {
                return self.break_down(why);
            }
            return self.replace_later(terms);
        }
        self.replace(terms);
    }

    /// Starts a worker in the place of one that ended, or will, if there are fewer than there should be.
    pub(super) fn replace(&mut self, terms: &Terms) {
        if !self.life.needs_workers() || self.crew.staying() >= self.workers {
            return;
        }
        if let Err(error) = self.crew.start(&mut self.driver, terms) {
            self.false_starts += 1;
            if self.crew.members.is_empty() && self.false_starts > terms.restarts {
                return self.break_down(error.into());
            }
            self.replace_later(terms);
        }
    }

    /// As [`Shared::replace`], after a pause that grows with each failure in a row.
    fn replace_later(&mut self, terms: &Terms) {
        self.missing += 1;
        let pause = terms.pause.saturating_mul(1 << (self.false_starts.max(1) - 1).min(16)).min(LONGEST_PAUSE);
        self.start_again_at = Instant::now() + pause;
    }

    /// No task can run any more.
    pub(super) fn break_down(&mut self, why: TaskError) {
        self.life.break_down();
        let jobs: Vec<JobId> = self.jobs.keys().copied().collect();
        jobs.into_iter().for_each(|job| self.fail(job, &why));
        self.broken.get_or_insert(why);
    }
}
