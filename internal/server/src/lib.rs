//! Configuration, telemetry, start and ordered stop
