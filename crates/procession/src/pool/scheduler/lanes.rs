//! Which job is next where some ask for more than their turn: by priority, and for units of what there are few.
//!
//! Jobs that ask for the same stand in one lane and take turns in it. The next job is that of the lane with the highest *rank*: its
//! priority, and one more for each second for which the first of the lane has waited. So nothing waits for ever: a job
//! gets a record at the latest when it has waited for as many seconds as it is less urgent, whatever comes.
//!
//! A record that no worker has taken up may be laid aside for what is more urgent by a level, and goes out again, as it is, when
//! its turn has come. Its rank grows meanwhile, too, and it keeps that: what was granted for its age is not laid aside again.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Grant, JobId, Out, Scheduler, Wishes};
use crate::channel::Ticket;

/// Priorities are from minus this to this.
pub const LEVELS: i32 = 100;
/// In what time a job that waits gains one level.
const LEVEL: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Lane {
    priority: i32,
    needs: Vec<(u8, u16)>,
    jobs: VecDeque<JobId>,
}

/// Jobs that wait and ask for something special.
#[derive(Debug, Default)]
pub(super) struct Lanes(Vec<Lane>);

impl Lanes {
    pub(super) fn push(&mut self, wishes: &Wishes, job: JobId) {
        let found = self.0.iter_mut().find(|lane| lane.priority == wishes.priority && lane.needs == wishes.needs);
        match found {
            Some(lane) => lane.jobs.push_back(job),
            None => self.0.push(Lane {
                priority: wishes.priority,
                needs: wishes.needs.clone(),
                jobs: VecDeque::from([job]),
            }),
        }
    }

    pub(super) fn remove(&mut self, job: JobId) {
        self.0.iter_mut().for_each(|lane| lane.jobs.retain(|other| *other != job));
        self.0.retain(|lane| !lane.jobs.is_empty());
    }
}

/// What is next: the lane, none for the one of all other jobs; its first job; that one's priority and rank.
#[derive(Clone, Copy, Debug)]
pub struct NextLane {
    lane: Option<usize>,
    job: JobId,
    priority: i32,
    rank: f64,
}

impl Scheduler {
    /// Whether jobs may be more urgent than others, or ask for units: then [`Scheduler::grant_by_rank`] is to be asked.
    #[inline]
    pub fn is_ranked(&self) -> bool {
        self.special > 0 || self.aside > 0
    }

    /// Tells the time, of any clock that does not go backwards.
    pub fn tell_time(&mut self, now: Duration) {
        if std::mem::take(&mut self.is_untold) {
            self.told = now;
        }
        self.now = now;
    }

    fn age(&self, since: Duration) -> f64 {
        self.now.saturating_sub(since.max(self.told)).as_secs_f64() / LEVEL.as_secs_f64()
    }

    /// What is the most urgent of all that waits and could go out.
    pub fn next(&self) -> Option<NextLane> {
        let lanes = self.lanes.0.iter().enumerate().filter(|(_, lane)| self.units.has(&lane.needs));
        let fronts = lanes.filter_map(|(index, lane)| Some((Some(index), *lane.jobs.front()?)));
        let all = fronts.chain(self.order.front().map(|job| (None, *job)));
        let ranked = all.filter_map(|(lane, job)| {
            let state = self.jobs.get(&job)?;
            let priority = state.priority();
            Some(NextLane { lane, job, priority, rank: f64::from(priority) + self.age(state.since) })
        });
        ranked.reduce(|best, other| if other.rank > best.rank { other } else { best })
    }

    /// The records that are out and less urgent than `next` by a level.
    pub fn less_urgent(&self, next: NextLane) -> Vec<Ticket> {
        let least = f64::from(next.priority) - 1.0;
        // What holds units has waited for them.
        let may = |out: &Out| out.aside.is_none() && out.done == 0 && self.units_of(&out.grant).is_empty();
        let less = self.out.iter().filter(|(_, out)| out.rank <= least && may(out));
        less.map(|(ticket, _)| *ticket).collect()
    }

    /// A record was taken back that no worker had taken up, and lies aside.
    pub fn laid_aside(&mut self, ticket: Ticket) {
        if let Some(out) = self.out.get_mut(&ticket).filter(|out| out.aside.is_none()) {
            out.aside = Some(self.now);
            self.aside += 1;
        }
    }

    /// The most urgent record that lies aside, if it is as urgent as `next`, and not enough is out.
    pub fn to_put_forth(&self, next: Option<NextLane>) -> Option<Ticket> {
        if self.aside == 0 || self.has_enough() {
            return None;
        }
        let rank = |since: Duration, rank: f64| rank + self.age(since);
        let aside = self.out.iter().filter_map(|(ticket, out)| Some((*ticket, rank(out.aside?, out.rank))));
        // The older of two that are alike.
        let (ticket, rank) = aside.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))?;
        next.is_none_or(|next| rank >= next.rank).then_some(ticket)
    }

    /// The record that lay aside is out again as `ticket`.
    pub fn put_forth(&mut self, before: Ticket, ticket: Ticket) {
        let Some(mut out) = self.take_out(before) else { return };
        if let Some(since) = out.aside.take() {
            out.rank += self.age(since);
        }
        self.out.insert(ticket, out);
    }

    /// As [`Scheduler::grant`], for `next`; none while enough is out.
    pub fn grant_by_rank(&mut self, next: NextLane) -> Option<Grant> {
        let state = self.jobs.get_mut(&next.job)?;
        state.rank = next.rank;
        let is_single = state.is_single();
        if self.has_enough() && !is_single {
            return None;
        }
        let needs = match next.lane {
            None => {
                self.order.pop_front();
                None
            }
            Some(index) => {
                let lane = self.lanes.0.get_mut(index)?;
                lane.jobs.pop_front();
                let needs = (!lane.needs.is_empty()).then(|| lane.needs.clone());
                if lane.jobs.is_empty() {
                    self.lanes.0.swap_remove(index);
                }
                needs
            }
        };
        let grant = self.grant_of(next.job)?;
        if let Some(needs) = needs {
            self.units.give(&grant, &needs);
        }
        Some(grant)
    }
}
