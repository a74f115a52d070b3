//! What a child does with an argument: rebuild it, call the function, write the result.

use std::marker::PhantomData;
use std::os::fd::OwnedFd;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::attachments::sending;
use super::codec::{decode, encode};
use super::failure::Failure;
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{Mark, conjure, distance_of, mark_at};

/// A function in the process that runs it, with what it needs between calls.
pub(crate) trait Routine {
    /// Calls the function with the argument in `argument`, and adds its result to `into`; tells `started` just before.
    fn run(&mut self, argument: &[u8], into: &mut Vec<u8>, started: &mut dyn FnMut()) -> Ran;
}

/// The descriptors that go with the result of a call that returned.
pub(crate) type Ran = std::result::Result<Vec<OwnedFd>, Failure>;
/// Makes a routine of the bytes of its context.
type Prepare = fn(&[u8]) -> std::result::Result<Box<dyn Routine>, Failure>;

/// What is behind the mark of a function.
pub(crate) struct Crossing {
    prepare: Prepare,
    name: fn() -> &'static str,
}

impl Crossing {
    /// The name of the function, as the compiler has it.
    pub(crate) fn name(&self) -> &'static str {
        (self.name)()
    }

    /// Makes the routine.
    pub(crate) fn prepare(&self, context: &[u8]) -> std::result::Result<Box<dyn Routine>, Failure> {
        (self.prepare)(context)
    }
}

/// The function that another process of this executable sent.
pub(crate) fn arrived(distance: u64) -> Option<&'static Crossing> {
    mark_at::<Crossing>(distance).map(Mark::value)
}

fn sent(mark: &'static Mark<Crossing>) -> Result<u64> {
    distance_of(mark).ok_or_else(|| {
        let name = (mark.value().name)();
        let message = format!("{name} belongs to a library that was loaded, not to the executable that children run");
        Error::new(ErrorKind::InvalidInput, message)
    })
}

fn returned<R: Serialize + 'static>(result: &R, into: &mut Vec<u8>) -> Ran {
    let (encoded, files) = sending(|| encode(result, into));
    encoded.map(|()| files).map_err(|reason| Failure::unsendable::<R>(&reason))
}

fn rebuilt<A: DeserializeOwned + 'static>(argument: &[u8]) -> std::result::Result<A, Failure> {
    decode(argument).map_err(|reason| Failure::undecodable::<A>(&reason))
}

/// A function of one argument.
pub(crate) struct Bare<F, A, R>(PhantomData<fn(F, A) -> R>);

impl<F, A, R> Bare<F, A, R>
where
    F: Fn(A) -> R + Copy + 'static,
    A: DeserializeOwned + 'static,
    R: Serialize + 'static,
{
    const MARK: &'static Mark<Crossing> =
        &Mark::new(Crossing { prepare: |_| Ok(Box::new(Self(PhantomData))), name: std::any::type_name::<F> });

    /// What names the function in a child. The value is asked for because it proves that there is one.
    pub(crate) fn crossing(_: F) -> Result<u64> {
        sent(Self::MARK)
    }
}

impl<F, A, R> Routine for Bare<F, A, R>
where
    F: Fn(A) -> R + Copy + 'static,
    A: DeserializeOwned + 'static,
    R: Serialize + 'static,
{
    fn run(&mut self, argument: &[u8], into: &mut Vec<u8>, started: &mut dyn FnMut()) -> Ran {
        let argument = rebuilt(argument)?;
        started();
        returned(&conjure::<F>()(argument), into)
    }
}

/// A function of a context, which crosses once, and an argument.
pub(crate) struct WithContext<F, C, A, R> {
    context: C,
    function: PhantomData<fn(F, A) -> R>,
}

impl<F, C, A, R> WithContext<F, C, A, R>
where
    F: Fn(&C, A) -> R + Copy + 'static,
    C: DeserializeOwned + 'static,
    A: DeserializeOwned + 'static,
    R: Serialize + 'static,
{
    const MARK: &'static Mark<Crossing> =
        &Mark::new(Crossing { prepare: Self::prepare, name: std::any::type_name::<F> });

    fn prepare(context: &[u8]) -> std::result::Result<Box<dyn Routine>, Failure> {
        Ok(Box::new(Self { context: rebuilt(context)?, function: PhantomData }))
    }

    /// As [`Bare::crossing`].
    pub(crate) fn crossing(_: F) -> Result<u64> {
        sent(Self::MARK)
    }
}

impl<F, C, A, R> Routine for WithContext<F, C, A, R>
where
    F: Fn(&C, A) -> R + Copy + 'static,
    C: DeserializeOwned + 'static,
    A: DeserializeOwned + 'static,
    R: Serialize + 'static,
{
    fn run(&mut self, argument: &[u8], into: &mut Vec<u8>, started: &mut dyn FnMut()) -> Ran {
        let argument = rebuilt(argument)?;
        started();
        returned(&conjure::<F>()(&self.context, argument), into)
    }
}

/// A function of a state, which each process makes for itself, and an argument.
pub(crate) struct WithState<I, S, F, A, R> {
    state: S,
    functions: PhantomData<fn(I, F, A) -> R>,
}

impl<I, S, F, A, R> WithState<I, S, F, A, R>
where
    I: Fn() -> S + Copy + 'static,
    S: 'static,
    F: Fn(&mut S, A) -> R + Copy + 'static,
    A: DeserializeOwned + 'static,
    R: Serialize + 'static,
{
    const MARK: &'static Mark<Crossing> =
        &Mark::new(Crossing { prepare: Self::prepare, name: std::any::type_name::<F> });

    fn prepare(_: &[u8]) -> std::result::Result<Box<dyn Routine>, Failure> {
        Ok(Box::new(Self { state: conjure::<I>()(), functions: PhantomData }))
    }

    /// As [`Bare::crossing`].
    pub(crate) fn crossing(_: I, _: F) -> Result<u64> {
        sent(Self::MARK)
    }
}

impl<I, S, F, A, R> Routine for WithState<I, S, F, A, R>
where
    I: Fn() -> S + Copy + 'static,
    S: 'static,
    F: Fn(&mut S, A) -> R + Copy + 'static,
    A: DeserializeOwned + 'static,
    R: Serialize + 'static,
{
    fn run(&mut self, argument: &[u8], into: &mut Vec<u8>, started: &mut dyn FnMut()) -> Ran {
        let argument = rebuilt(argument)?;
        started();
        returned(&conjure::<F>()(&mut self.state, argument), into)
    }
}

/// A function that a worker calls once, before its first task; there is nothing to run after it.
pub(crate) struct Initializer<I>(PhantomData<fn() -> I>);

impl<I: Fn() + Copy + 'static> Initializer<I> {
    const MARK: &'static Mark<Crossing> =
        &Mark::new(Crossing { prepare: Self::prepare, name: std::any::type_name::<I> });

    fn prepare(_: &[u8]) -> std::result::Result<Box<dyn Routine>, Failure> {
        conjure::<I>()();
        Ok(Box::new(Self(PhantomData)))
    }

    /// As [`Bare::crossing`].
    pub(crate) fn crossing(_: I) -> Result<u64> {
        sent(Self::MARK)
    }
}

impl<I> Routine for Initializer<I> {
    fn run(&mut self, _: &[u8], _: &mut Vec<u8>, _: &mut dyn FnMut()) -> Ran {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(x: u32) -> u32 {
        x * 2
    }

    #[test]
    fn a_function_is_called_through_its_distance() {
        let crossing = arrived(Bare::crossing(double).unwrap()).unwrap();
        let mut routine = crossing.prepare(&[]).ok().unwrap();
        let (mut argument, mut result) = (Vec::new(), Vec::new());
        encode(&21u32, &mut argument).unwrap();
        assert!(routine.run(&argument, &mut result, &mut || ()).is_ok());
        assert_eq!(decode::<u32>(&result), Ok(42));
        assert!(routine.run(&[], &mut result, &mut || ()).is_err());
    }

    #[test]
    fn two_closures_are_two_functions() {
        let first = Bare::crossing(|x: u8| x).unwrap();
        let second = Bare::crossing(|x: u8| x + 1).unwrap();
        assert_ne!(first, second);
    }
}
