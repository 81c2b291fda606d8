//! NSQ clients that are not ours, and the real program: pynsq and nsqjs publish and listen, and `curl` publishes at every
//! door. Schemathesis asks whatever the OpenAPI document allows, and PyJWT and jose check the server's tokens and issue their
//! own. What `docs/nsq.md` and `docs/rest.md` show is what runs here.

mod clients;
mod curl;
mod document;
mod house;
mod listening;
mod page;
mod publishing;
mod steps;
mod tokens;
