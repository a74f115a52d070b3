//! Handing what came in to its jobs.

use crate::pool::Batch;

use super::super::crew::Terms;
use super::super::job::Answer;
use super::super::wire::Reply;
use super::Shared;

impl Shared {
    pub(super) fn deliver(&mut self, batch: &Batch, terms: &Terms) {
        for outcome in &batch.outcomes {
            let mut bytes = &batch.bytes[outcome.payload.clone()];
            // Descriptors are taken out even when nobody wants them any more.
            let reply = (!outcome.returned).then(|| self.crew.answer(Reply::decode(bytes)));
            let Some(job) = self.jobs.get_mut(&outcome.job) else { continue };
            let was_done = job.is_done();
            match outcome.run {
                Some(count) => {
                    for item in outcome.item..outcome.item + u64::from(count) {
                        let Some((size, after)) = bytes.split_first() else { break };
                        let Some((value, after)) = after.split_at_checked(usize::from(*size)) else { break };
                        job.store(item, Answer::returned(value));
                        bytes = after;
                    }
                }
                None => job.store(outcome.item, reply.unwrap_or_else(|| Answer::returned(bytes))),
            }
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
        for _ in &batch.leaving {
            self.replace(terms);
        }
        for death in &batch.deaths {
            self.bury(death, terms);
        }
    }
}
