//! Publishing what the scheduler grants.

use super::super::error::TaskError;
use super::super::job::Answer;
use super::Shared;
use crate::pool::{Grant, ItemLimits};

impl Shared {
    /// Publishes records as long as the scheduler grants some.
    pub(in crate::face) fn feed(&mut self) {
        while let Some(grant) = self.driver.grant() {
            if !self.publish(grant) {
                return;
            }
        }
    }

    /// Publishes a grant; false when there is no room now.
    fn publish(&mut self, grant: Grant) -> bool {
        let mut scratch = std::mem::take(&mut self.scratch);
        let published = match self.jobs.get(&grant.job) {
            None => None,
            Some(job) => match job.row(&grant, &mut scratch) {
                None => None,
                Some(row) => {
                    let given = ItemLimits { timed: job.is_timed, ..ItemLimits::default() };
                    Some(self.driver.publish_parts(grant, given, &job.function.preamble, row, Vec::new()))
                }
            },
        };
        if scratch.capacity() > 4 << 20 {
            scratch = Vec::new();
        }
        self.scratch = scratch;
        match published {
            Some(Ok(published)) => published,
            None => {
                self.driver.scheduler.withdrawn(grant, grant.count);
                true
            }
            Some(Err(error)) => {
                self.driver.scheduler.withdrawn(grant, grant.count);
                let message = format!("no memory for the argument: {error}");
                if let Some(job) = self.jobs.get_mut(&grant.job) {
                    for item in grant.first..grant.first + u64::from(grant.count) {
                        job.store(item, Answer::failed(TaskError::Codec { message: message.clone() }));
                    }
                    if job.is_done() {
                        self.finish(grant.job);
                    }
                }
                true
            }
        }
    }
}
