//! NSQ clients that are not ours, and the real program: pynsq and nsqjs publish and listen, and `curl` publishes at every
//! door. What `docs/nsq.md` shows is what runs here.

mod clients;
mod curl;
mod house;
mod listening;
mod page;
mod publishing;
