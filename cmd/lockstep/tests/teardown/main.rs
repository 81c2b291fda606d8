//! Devices that are removed while something else goes on: afterwards they have got nothing that was committed after the
//! return, their tokens are refused by REST and WebSocket, and no nsqd has a channel of theirs (I9).
//!
//! `RACE_SEEDS=100` runs each race so often, `RACE_SEED=7` begins with that seed.

mod filling;
mod killed;
mod linking;
mod races;
mod scene;
