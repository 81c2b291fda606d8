//! NSQ clients that are not ours, and the real program: pynsq and nsqjs publish and listen, and `curl` publishes at every
//! door. What `docs/nsq.md` shows is what runs here. And schemathesis asks whatever the OpenAPI document allows, and
//! PyJWT and jose check the server's tokens and issue their own.

mod clients;
mod curl;
mod document;
mod house;
mod listening;
mod page;
mod publishing;
mod tokens;
