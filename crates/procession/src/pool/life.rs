//! Who may hand in, fail and end a job, at each stage of a pool's life. `README.md` beside this file has the drawing.
//!
//! It holds no job, no lock and no thread: it is told what somebody wants and answers what is allowed. Its owner keeps it
//! under the lock that the jobs are under, so that each job is failed by whoever ends the pool, or by whoever hands it in
//! later, and never by both or by nobody.

/// How far the life of a pool has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Takes jobs.
    #[default]
    Open,
    /// Takes no more jobs; those at hand run on.
    Closing,
    /// Was closed, and the last job has ended: the workers end.
    Drained,
    /// No task can run any more: a job fails as soon as it is handed in.
    Broken,
    /// Was terminated, collected, or left by its program: as broken, and the workers end.
    Ended,
}

/// What becomes of a job that is handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The job is at hand: whoever ends the pool fails it, unless it has ended before.
    Take,
    /// The job is at hand, and whoever hands it in fails it at once: those who ended the pool do not know of it.
    Fail,
    /// The job is none of the pool's.
    Refuse,
}

impl Verdict {
    /// What becomes of a job that two have to agree to, a handle and its pool.
    pub fn and(self, other: Verdict) -> Verdict {
        match (self, other) {
            (Verdict::Refuse, _) | (_, Verdict::Refuse) => Verdict::Refuse,
            (Verdict::Fail, _) | (_, Verdict::Fail) => Verdict::Fail,
            (Verdict::Take, Verdict::Take) => Verdict::Take,
        }
    }
}

/// The life of a pool, or of one of its handles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Life {
    stage: Stage,
    at_hand: usize,
    is_stopped: bool,
}

impl Life {
    /// How far it has come.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// How many jobs were handed in that have not ended.
    pub fn at_hand(&self) -> usize {
        self.at_hand
    }

    /// Whether workers that end are to be replaced.
    pub fn needs_workers(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::Closing)
    }

    /// What would become of a job now. Whoever lets go of the lock after this has to look again: by [`Life::hand_in`].
    pub fn look(&self) -> Verdict {
        match self.stage {
            Stage::Open => Verdict::Take,
            Stage::Closing | Stage::Drained => Verdict::Refuse,
            Stage::Broken | Stage::Ended => Verdict::Fail,
        }
    }

    /// A job is handed in, and put where those look who end the pool before the lock is let go.
    pub fn hand_in(&mut self) -> Verdict {
        let verdict = self.look();
        self.at_hand += usize::from(verdict != Verdict::Refuse);
        verdict
    }

    /// A job that was handed in has ended, in whatever way; whether the workers are to end now.
    pub fn job_ended(&mut self) -> bool {
        self.at_hand -= 1;
        if self.stage == Stage::Closing && self.at_hand == 0 {
            self.stage = Stage::Drained;
        }
        self.stops()
    }

    /// No more jobs are to be taken; whether the workers are to end now.
    pub fn close(&mut self) -> bool {
        self.stage = match self.stage {
            Stage::Open if self.at_hand == 0 => Stage::Drained,
            Stage::Open => Stage::Closing,
            Stage::Broken => Stage::Ended,
            stage => stage,
        };
        self.stops()
    }

    /// No task can run any more; whoever says so fails all jobs at hand. Whether the workers are to end now.
    pub fn break_down(&mut self) -> bool {
        self.stage = match self.stage {
            Stage::Open => Stage::Broken,
            Stage::Closing => Stage::Ended,
            stage => stage,
        };
        self.stops()
    }

    /// The pool is terminated, collected, or left by its program; whoever says so fails all jobs at hand. Whether the workers
    /// are to end now.
    pub fn end(&mut self) -> bool {
        self.stage = Stage::Ended;
        self.stops()
    }

    /// Whether the workers are to end, and have not been told.
    fn stops(&mut self) -> bool {
        let stops = matches!(self.stage, Stage::Drained | Stage::Ended) && !self.is_stopped;
        self.is_stopped |= stops;
        stops
    }
}

#[cfg(test)]
mod tests;
