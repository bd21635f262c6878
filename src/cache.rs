//! A cache of values that are made once.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{PoisonError, RwLock},
};

use crate::error::Result;

/// Values by key. Each value is made when it is first requested. Values are handles that are cheap to clone.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    made: RwLock<HashMap<K, V>>,
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self {
            made: RwLock::default(),
        }
    }
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// Returns the value for `key`, and makes it with `make` if it does not exist yet. An error is not cached.
    ///
    /// No lock is held while `make` runs: wgpu may run a host's callbacks there, and they would deadlock if they used
    /// this cache. If two threads make the value of the same key, both get the one that was inserted first.
    pub(crate) fn get_or_make(&self, key: K, make: impl FnOnce() -> Result<V>) -> Result<V> {
        let made = self.made.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = made.get(&key) {
            return Ok(value.clone());
        }
        drop(made);
        let value = make()?;
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        Ok(made.entry(key).or_insert(value).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Error, op::Op};

    #[test]
    fn a_value_is_made_once() {
        let cache = Cache::default();
        assert_eq!(cache.get_or_make("a", || Ok(1)).unwrap(), 1);
        assert_eq!(cache.get_or_make("a", || Ok(2)).unwrap(), 1);
        assert_eq!(cache.get_or_make("b", || Ok(3)).unwrap(), 3);
    }

    #[test]
    fn an_error_is_not_cached() {
        let cache = Cache::default();
        let found = 3;
        let failed = cache.get_or_make(0, || {
            Err(Error::Inputs {
                op: Op::Forward,
                needed: 1,
                found,
            })
        });
        assert!(failed.is_err());
        assert_eq!(cache.get_or_make(0, || Ok(1)).unwrap(), 1);
    }

    #[test]
    fn making_a_value_may_use_the_cache() {
        let cache = Cache::default();
        let outer = cache.get_or_make(1, || cache.get_or_make(2, || Ok("inner")));
        assert_eq!(outer.unwrap(), "inner");
    }
}
