//! Real servers, fault proxy and history checker for tests
