//! An answer in the making, with an end to its size.

use serde::Serialize;
use std::io::{self, Write};

use super::too_large;
use crate::error::{Error, Result};

/// Bytes of at most a given number.
pub struct Capped {
    bytes: Vec<u8>,
    most: usize,
}

impl Capped {
    pub fn new(most: usize) -> Self {
        Self {
            bytes: Vec::new(),
            most,
        }
    }

    pub fn room(&self) -> usize {
        self.most.saturating_sub(self.bytes.len())
    }

    pub fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_all(bytes).map_err(|_| too_large(self.most))
    }

    pub fn json(&mut self, value: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut *self, value).map_err(|error| {
            if error.is_io() {
                too_large(self.most)
            } else {
                Error::Corrupt(format!("a trace cannot be shown as JSON: {error}"))
            }
        })
    }

    pub fn bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.room() {
            return Err(io::Error::other("full"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
