//! Where a request stands among the requests of others.

mod context;

pub use self::context::TraceContext;
