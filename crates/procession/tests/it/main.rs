//! The crate from outside, with real processes.

// One suite for every start method.
#![allow(clippy::duplicate_mod)]

mod examples;
mod forkserver;
mod memory_order;
mod shared;
mod system;

/// The suite of one start method.
macro_rules! suite {
    ($name:ident, $method:ident) => {
        #[path = "."]
        mod $name {
            const METHOD: procession::StartMethod = procession::StartMethod::$method;

            #[path = "campaign.rs"]
            mod campaign;
            #[path = "ends.rs"]
            mod ends;
            #[path = "look.rs"]
            mod look;
            #[path = "pool.rs"]
            mod pool;
            #[path = "process.rs"]
            mod process;
            #[path = "seeds.rs"]
            mod seeds;
        }
    };
}

suite!(by_forkserver, Forkserver);
suite!(by_spawn, Spawn);
