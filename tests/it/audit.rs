//! The record of an exchange: one line for each, whatever becomes of it, and none that lies.

mod house;
mod reasons;
mod request_ids;
mod required;
mod schema;
