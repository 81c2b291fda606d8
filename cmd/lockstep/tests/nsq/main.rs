//! The real program on real nsqds: devices talk through them, services publish there, and they go away and come back.

mod disk;
mod house;
mod left;
mod outage;
mod quiet;
mod raw;
mod recall;
mod removal;
mod talk;
