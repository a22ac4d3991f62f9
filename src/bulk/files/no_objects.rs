//! What stands for object stores in a build without them: types of which there is no value, because the configuration refuses the address.

use crate::error::Failure;
use reqwest::Url;
use std::path::Path;

/// No object store.
pub(super) enum NoObjects {}

/// No object.
pub(super) enum NoObject {}

impl NoObjects {
    pub(super) fn new(_: &Url) -> Option<NoObjects> {
        None
    }

    pub(super) fn put(&self, _: &str, _: &[(&Path, &str)]) -> Result<(), Failure> {
        match *self {}
    }

    pub(super) fn open(&self, _: &str, _: &str) -> Result<NoObject, Failure> {
        match *self {}
    }

    pub(super) fn names(&self, _: &str) -> Result<Vec<String>, Failure> {
        match *self {}
    }

    pub(super) fn remove(&self, _: &str, _: &[String]) -> Result<(), Failure> {
        match *self {}
    }

    pub(super) fn probe(&self, _: &str) -> Result<(), Failure> {
        match *self {}
    }
}

impl NoObject {
    pub(super) fn length(&self) -> u64 {
        match *self {}
    }

    pub(super) fn read_exact(&self, _: &mut [u8], _: u64) -> Result<(), Failure> {
        match *self {}
    }
}
