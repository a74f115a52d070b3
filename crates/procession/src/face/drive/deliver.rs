//! Handing what came in to its jobs.

use super::super::crew::Terms;
use super::super::error::TaskError;
use super::super::job::{Answer, Job};
use super::super::wire::Reply;
use super::Shared;
use crate::channel::forsake_worker;
use crate::pool::{Batch, Counts, JobId, timeline};

/// Shows what a job has come to since it had so many outcomes, and failures among them.
pub(super) fn tally(counts: &Counts, job: &Job, (done, failed): (u64, u64)) {
    let fallen = job.failed - failed;
    counts.done(job.entry, (job.done - done).saturating_sub(fallen));
    (0..fallen).for_each(|_| counts.failed(job.entry));
}

/// Tells a recording why an item has failed, if it has.
#[cold]
pub(super) fn explain(counts: &Counts, job: JobId, item: u64, failure: Option<&TaskError>) {
    if let Some(failure) = failure {
        counts.explain(job, item, failure.to_string().lines().next().unwrap_or(""));
    }
}

impl Shared {
    pub(super) fn deliver(&mut self, batch: &Batch, terms: &Terms) {
        let counts = self.driver.board.counts();
        for outcome in &batch.outcomes {
            let mut bytes = &batch.bytes[outcome.payload.clone()];
            // Descriptors and parts are taken out even when nobody wants them any more.
            let reply = (!outcome.returned).then(|| self.crew.answer(Reply::decode(bytes), outcome.segment.as_ref()));
            let Some(job) = self.jobs.get_mut(&outcome.job) else { continue };
            let was_done = job.is_done();
            let before = (job.done, job.failed);
            match outcome.run {
                Some(count) => {
                    for item in outcome.item..outcome.item + u64::from(count) {
                        let Some((size, after)) = bytes.split_first() else { break };
                        let Some((value, after)) = after.split_at_checked(usize::from(*size)) else { break };
                        job.store(item, Answer::returned(value));
                        bytes = after;
                    }
                }
                None => {
                    let answer = reply.unwrap_or_else(|| Answer::returned(bytes));
                    if timeline::recording() != 0 {
                        explain(&counts, outcome.job, outcome.item, answer.failure());
                    }
                    job.store(outcome.item, answer);
                }
            }
            tally(&counts, job, before);
            if !was_done && job.is_done() {
                self.finish(outcome.job);
            }
        }
        if !batch.ready.is_empty() {
            self.false_starts = 0;
        }
        for failure in &batch.init_failed {
            let failure = crate::function::Failure::decode(&batch.bytes[failure.clone()]);
            self.break_down(failure.into());
        }
        for index in &batch.leaving {
            if let Some(member) = self.crew.members.get_mut(index) {
                member.leaves = true;
            }
            self.replace(terms);
        }
        for death in &batch.deaths {
            // Its results are taken out above, and what is still to be read of their parts stays.
            forsake_worker(&death.segment);
            self.bury(death, terms);
        }
    }
}
