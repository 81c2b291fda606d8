//! Buffers that all connections of a thread share.
//!
//! Between two polls of a connection nothing is in them: what is incomplete, or could not be written, is copied to the
//! connection, which is rare. Thus an idle connection has no buffer at all.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;
/// A buffer for writing that has grown beyond this is given back.
const OUT_BYTES_KEPT: usize = 256 * 1024;

thread_local! {
    static SCRATCH: Cell<Option<Box<Buffers>>> = const { Cell::new(None) };
}

pub(crate) struct Buffers {
    /// Filled by reading; its length never changes.
    pub(crate) read: Box<[u8]>,
    /// What is to be written; empty whenever it is lent out.
    pub(crate) out: Vec<u8>,
}

/// The thread's buffers until it is dropped. Whoever asks while they are lent out (a handler that polls another
/// connection) gets new ones.
pub(crate) struct Scratch(Option<Box<Buffers>>);

impl Scratch {
    pub(crate) fn lend() -> Self {
        let fresh = || Box::new(Buffers { read: vec![0; READ_BYTES].into(), out: Vec::new() });
        Self(Some(SCRATCH.take().unwrap_or_else(fresh)))
    }
}

impl Deref for Scratch {
    type Target = Buffers;
    fn deref(&self) -> &Buffers {
        self.0.as_deref().expect("present until dropped")
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut Buffers {
        self.0.as_deref_mut().expect("present until dropped")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Some(mut buffers) = self.0.take() else { return };
        buffers.out.clear();
        if buffers.out.capacity() > OUT_BYTES_KEPT {
            buffers.out = Vec::new();
        }
        SCRATCH.set(Some(buffers));
    }
}
