//! `Stateless`: what a function must be to cross to another process.

/// A function that captures nothing: a `fn`, or a closure that uses its arguments alone.
///
/// Only the type of a function crosses to another process, so a value that it captured would not be there. Every `Copy` type has
/// this trait; that it has no bytes either is checked when the program is built (`cargo check` does not see it), so a pointer to
/// a function is refused, too. A closure that borrows what it captures gets the compiler's advice to `move` it first; then it
/// is told that it cannot cross. The trait is named where a function is passed on:
///
/// ```
/// use procession::{Pool, Stateless};
///
/// fn sum_of<F: Fn(u64) -> u64 + Stateless>(function: F, count: u64) -> procession::Result<u64> {
///     let values = Pool::new(2)?.map(function, 0..count);
///     Ok(values.map_or(0, |values| values.into_iter().sum()))
/// }
///
/// # fn main() -> procession::Result<()> {
/// assert_eq!(sum_of(|x| x * x, 4)?, 14);
/// # Ok(()) }
/// ```
///
/// ```compile_fail
/// # fn main() -> procession::Result<()> {
/// let name = "world".to_owned();
/// procession::Pool::new(2)?.map(move |x: u32| format!("{name} {x}"), 0..4);
/// # Ok(()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "procession: this closure captures variables, and only a function's type crosses to another process",
    label = "captures what does not cross",
    note = "pass what it needs as its argument, or to every call with `Pool::with`"
)]
pub trait Stateless: Copy + 'static {}

#[diagnostic::do_not_recommend]
impl<F: Copy + 'static> Stateless for F {}
