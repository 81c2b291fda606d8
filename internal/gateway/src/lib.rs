//! The native doors: REST and WebSocket
