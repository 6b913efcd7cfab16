//! Operators own the life of an API key: by the real commands, on every store, beside the Go tools.

mod doctor;
mod manifest;
mod output;
mod refusals;
mod scale;
mod scene;
mod script;
mod terminal;
