//! A store that lets the test in before and after each call.

use std::ops::Range;

use bytes::Bytes;
use suyuan_objects::{Created, ObjectError, ObjectInfo, ObjectWriter, Objects};

/// When the test is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Before,
    After,
}

/// Takes when it is, the name of the call, and its path.
type LetIn = dyn Fn(Moment, &'static str, &str) + Send + Sync;

pub(super) struct Gate(pub(super) Box<LetIn>);

pub(super) struct GatedObjects<O> {
    pub(super) objects: O,
    pub(super) gate: Gate,
}

impl<O: Objects> GatedObjects<O> {
    fn pass<T>(&self, call: &'static str, path: &str, run: impl FnOnce(&O) -> T) -> T {
        (self.gate.0)(Moment::Before, call, path);
        let answer = run(&self.objects);
        (self.gate.0)(Moment::After, call, path);
        answer
    }
}

impl<O: Objects> Objects for GatedObjects<O> {
    fn put(&self, path: &str, bytes: Bytes) -> Result<(), ObjectError> {
        self.pass("put", path, |objects| objects.put(path, bytes))
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<Created, ObjectError> {
        self.pass("create", path, |objects| objects.create(path, bytes))
    }

    fn writer(&self, path: &str) -> Result<Box<dyn ObjectWriter>, ObjectError> {
        self.pass("writer", path, |objects| objects.writer(path))
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>, ObjectError> {
        self.pass("get", path, |objects| objects.get(path))
    }

    fn get_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ObjectError> {
        self.pass("get", path, |objects| objects.get_ranges(path, ranges))
    }

    fn head(&self, path: &str) -> Result<Option<ObjectInfo>, ObjectError> {
        self.pass("head", path, |objects| objects.head(path))
    }

    fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>, ObjectError> {
        self.pass("list", folder, |objects| objects.list(folder))
    }

    fn delete(&self, path: &str) -> Result<(), ObjectError> {
        self.pass("delete", path, |objects| objects.delete(path))
    }

    fn delete_folder(&self, folder: &str) -> Result<(), ObjectError> {
        self.pass("delete", folder, |objects| objects.delete_folder(folder))
    }

    fn now_unix_nanos(&self) -> Result<u64, ObjectError> {
        self.pass("now", "", |objects| objects.now_unix_nanos())
    }
}
