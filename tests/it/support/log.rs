//! A log as the service writes it: kept in memory, and read.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// What a service in this process writes. Clones share it.
#[derive(Clone, Default)]
pub struct KeptLog(Arc<Mutex<Vec<u8>>>);

impl KeptLog {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for KeptLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines. All of them are JSON, but for the last one where it is not all there.
pub fn lines(log: &str) -> Vec<Value> {
    let read = |line: &str| match serde_json::from_str(line) {
        Ok(value) => Some(value),
        Err(_) if !line.ends_with('\n') => None,
        Err(error) => panic!("{error}: {line}"),
    };
    log.split_inclusive('\n').filter_map(read).collect()
}

/// Whether a line is the record of an exchange.
pub fn is_record(line: &Value) -> bool {
    line["target"] == "token_exchange::audit"
}

/// The records among the lines.
pub fn records(log: &str) -> Vec<Value> {
    lines(log).into_iter().filter(is_record).collect()
}
