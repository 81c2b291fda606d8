//! Log, directory and offsets on SQLite
