//! `With`: a pool with a context, which crosses once to each worker.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::TaskError;
use super::job::Function;
use super::outcome::{Mapped, Outcome};
use super::pool::Pool;
use crate::error::{Error, ErrorKind, Result};
use crate::function::{Form, Stateless, WithContext};

/// A [`Pool`] with a context; from [`Pool::with`].
///
/// ```
/// # fn main() -> procession::Result<()> {
/// let pool = procession::Pool::new(2)?;
/// let with = pool.with(10u32)?;
/// assert_eq!(with.map(|ten: &u32, x: u32| ten + x, [1, 2])?, [11, 12]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct With<'p, C> {
    pub(super) pool: &'p Pool,
    pub(super) bytes: Vec<u8>,
    pub(super) files: Vec<u64>,
    pub(super) context: PhantomData<fn() -> C>,
}

impl<C: Serialize + DeserializeOwned + 'static> With<'_, C> {
    /// As [`Pool::map`]; each call gets the context too.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = procession::Pool::new(2)?;
    /// let table = vec!["a".to_string(), "b".to_string()];
    /// let with = pool.with(table)?;
    /// assert_eq!(with.map(|table: &Vec<String>, index: usize| table[index].clone(), [1, 0])?, ["b", "a"]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The first failure.
    pub fn map<F, A, R, I>(&self, function: F, items: I) -> Mapped<R>
    where
        F: Fn(&C, A) -> R + Stateless,
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        I: IntoIterator<Item = A>,
    {
        let function = WithContext::<F, C, A, R>::crossing(function).and_then(|it| self.function(it));
        self.pool.map_all::<F, _, _, _>(function, items)
    }

    /// As [`Pool::map_each`]; each call gets the context too.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let pool = procession::Pool::new(2)?;
    /// let with = pool.with(10u32)?;
    /// let outcomes: Vec<_> = with.map_each(|ten: &u32, x: u32| ten / x, [5, 0]).map(Result::ok).collect();
    /// assert_eq!(outcomes, [Some(2), None]);
    /// # Ok(()) }
    /// ```
    pub fn map_each<F, A, R, I>(&self, function: F, items: I) -> std::vec::IntoIter<Outcome<R>>
    where
        F: Fn(&C, A) -> R + Stateless,
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        I: IntoIterator<Item = A>,
    {
        match WithContext::<F, C, A, R>::crossing(function).and_then(|crossing| self.function(crossing)) {
            Ok(function) => self.pool.each(function, items),
            Err(error) => {
                let error = TaskError::from(error);
                items.into_iter().map(|_| Err(error.clone())).collect::<Vec<_>>().into_iter()
            }
        }
    }

    fn function(&self, crossing: u64) -> Result<Arc<Function>> {
        self.pool.function(crossing, |_| Ok(self.bytes.clone()))
    }
}

impl<C> Drop for With<'_, C> {
    fn drop(&mut self) {
        if !self.pool.inner.is_ours() {
            return;
        }
        let mut shared = self.pool.inner.shared();
        self.files.drain(..).for_each(|file| shared.crew.forget_file(file));
    }
}

impl Pool {
    /// The pool with a context: a value that is sent once to each worker and given to every call.
    ///
    /// ```
    /// use procession::Pool;
    ///
    /// fn has(words: &Vec<String>, text: String) -> bool { words.iter().any(|word| text.contains(word)) }
    ///
    /// # fn main() -> procession::Result<()> {
    /// let pool = Pool::new(2)?;
    /// let found = pool.with(vec!["rust".to_owned()])?.map(has, ["a rusty nail".to_owned(), "a nail".to_owned()])?;
    /// assert_eq!(found, [true, false]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` when the context cannot be turned into bytes.
    pub fn with<C: Serialize + DeserializeOwned + 'static>(&self, context: C) -> Result<With<'_, C>> {
        self.inner.check_ours()?;
        let mut bytes = Vec::new();
        let mut files = Vec::new();
        self.encode(Form::Own, context, &mut bytes, &mut files, &mut Vec::new())
            .map_err(|reason| Error::new(ErrorKind::InvalidInput, format!("the context cannot be sent: {reason}")))?;
        Ok(With { pool: self, bytes, files, context: PhantomData })
    }
}
