//! Publishing what the scheduler grants.

use super::super::error::TaskError;
use super::super::job::{Answer, Job};
use super::super::wire::encode_places;
use super::Shared;
use crate::error::Result;
use crate::function::Form;
use crate::pool::{Driver, Grant, ItemLimits};
use crate::shared_memory::Block;

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
                    let preamble = &job.function.preamble[..];
                    Some(match job.function.form {
                        Form::Own => self.driver.publish_parts(grant, given, &[preamble, row], Vec::new()),
                        Form::Neutral => provide(&mut self.driver, job, &grant).and_then(|(places, blocks)| {
                            self.driver.publish_parts(grant, given, &[preamble, &places, row], blocks)
                        }),
                    })
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

/// Copies the parts of a grant's items into blocks; gives where they lie, and the blocks.
///
/// # Errors
/// No memory: nothing is kept then.
fn provide(driver: &mut Driver, job: &Job, grant: &Grant) -> Result<(Vec<u8>, Vec<Block>)> {
    let (mut places, mut blocks, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    if !job.parts.is_empty() {
        let items = (0..grant.count).filter_map(|item| Some((item, job.parts.get(&(grant.first + u64::from(item)))?)));
        for (item, part) in items.flat_map(|(item, parts)| parts.iter().map(move |part| (item, part.bytes()))) {
            match driver.hold(part) {
                Ok(block) => {
                    places.push((item, (block.offset as u64, part.len() as u64)));
                    blocks.push(block);
                }
                Err(error) => {
                    blocks.into_iter().for_each(|block| driver.release(block));
                    return Err(error);
                }
            }
        }
    }
    encode_places(&places, &mut bytes);
    Ok((bytes, blocks))
}
