//! Devices that are filled while everybody goes on talking: what they have in the end is what their main device has (I8).
//!
//! `FILL_SEEDS=100` runs the race so often, `FILL_SEED=7` begins with that seed.

mod deeds;
mod race;
mod recall;
mod scene;
