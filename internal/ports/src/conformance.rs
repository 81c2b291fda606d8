//! One suite per port: an adapter conforms if its suite passes.
