//! What every store can fail with.

/// A store could not do its work. Nothing is known to have been stored, unless the variant says otherwise.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A write failed: nothing of it was stored, or (a failed commit) it is unknown. Doing the same again is safe.
    #[error("{operation} could not be stored")]
    Write {
        /// Which operation failed.
        operation: &'static str,
        /// The cause.
        #[source]
        cause: std::sync::Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A read failed.
    #[error("{operation} could not be read")]
    Read {
        /// Which operation failed.
        operation: &'static str,
        /// The cause.
        #[source]
        cause: std::sync::Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The store has been closed or its queue is full.
    #[error("{operation}: the store takes no more work")]
    Closed {
        /// Which operation failed.
        operation: &'static str,
    },
}
