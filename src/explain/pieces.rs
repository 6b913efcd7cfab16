//! Cuts a log into the JSON texts that it consists of, without keeping more than one of them.
//!
//! Only where a text ends is looked at here; whether it is JSON, its reader finds out.

use std::io::{self, BufRead};

/// The longest line or element that is read. Google Cloud Logging takes no entry over 256 KiB, and
/// gives it back with spaces between its members.
pub(super) const MAX_PIECE_BYTES: usize = 1024 * 1024;

/// What some programs begin every file with.
const BYTE_ORDER_MARK: [u8; 3] = *b"\xEF\xBB\xBF";

/// The form of a log, told by its first letter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// One JSON object a line, perhaps behind words of what has collected them.
    #[default]
    Lines,
    /// One JSON array.
    Array,
}

/// A part of a log.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'a> {
    Whole(&'a [u8]),
    /// The log ends here, and the piece perhaps not.
    Cut(&'a [u8]),
    TooLong,
}

/// The parts of a log, one after the other.
pub(super) struct Pieces<R> {
    log: R,
    form: Form,
    piece: Vec<u8>,
    /// More has come for this piece than is kept.
    is_too_long: bool,
    nesting: Nesting,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// The log has ended, or the array has.
    Ended,
    /// The log has ended, and the array has not.
    Cut,
}

/// How deep within an element the reader is.
#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl<R: BufRead> Pieces<R> {
    /// Reads as far as the first letter.
    pub(super) fn of(mut log: R) -> io::Result<Self> {
        let form = loop {
            let buffer = log.fill_buf()?;
            let Some(first) = buffer.first() else { break Form::Lines };
            match first {
                b'[' => break array_or_words(&mut log)?,
                byte if byte.is_ascii_whitespace() || BYTE_ORDER_MARK.contains(byte) => {
                    log.consume(1);
                }
                _ => break Form::Lines,
            }
        };
        Ok(Self {
            log,
            form,
            piece: Vec::new(),
            is_too_long: false,
            nesting: Nesting::default(),
            state: State::Reading,
        })
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// Whether an array was not closed.
    pub(super) fn is_cut(&self) -> bool {
        self.state == State::Cut
    }

    /// The next piece that is not blank; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece<'_>>> {
        loop {
            if self.state != State::Reading {
                return Ok(None);
            }
            self.piece.clear();
            self.is_too_long = false;
            self.nesting = Nesting::default();
            let is_whole = self.fill()?;
            if self.is_too_long {
                return Ok(Some(Piece::TooLong));
            }
            if !self.piece.trim_ascii().is_empty() {
                let object = self.piece.iter().position(|byte| *byte == b'{');
                let begins = object.filter(|_| self.form == Form::Lines).unwrap_or(0);
                let piece = self.piece[begins..].trim_ascii();
                return Ok(Some(if is_whole { Piece::Whole(piece) } else { Piece::Cut(piece) }));
            }
        }
    }

    /// Takes what belongs to the piece; whether its end was there.
    fn fill(&mut self) -> io::Result<bool> {
        loop {
            let buffer = self.log.fill_buf()?;
            if buffer.is_empty() {
                self.state = if self.form == Form::Array { State::Cut } else { State::Ended };
                return Ok(false);
            }
            let end = match self.form {
                Form::Lines => buffer.iter().position(|byte| *byte == b'\n'),
                Form::Array => buffer.iter().position(|byte| self.nesting.ends_at(*byte)),
            };
            let taken = &buffer[..end.unwrap_or(buffer.len())];
            if self.piece.len() + taken.len() > MAX_PIECE_BYTES {
                self.is_too_long = true;
                self.piece.clear();
            }
            if !self.is_too_long {
                self.piece.extend_from_slice(taken);
            }
            let Some(end) = end else {
                let all = buffer.len();
                self.log.consume(all);
                continue;
            };
            if buffer[end] == b']' {
                self.state = State::Ended;
            }
            self.log.consume(end + 1);
            return Ok(true);
        }
    }
}

/// Reads a bracket. It begins an array of objects, or what a collector puts before each line: the
/// name of a pod (`kubectl logs --prefix`), the time. Of a line, only what follows that is read.
fn array_or_words(log: &mut impl BufRead) -> io::Result<Form> {
    log.consume(1);
    loop {
        let buffer = log.fill_buf()?;
        match buffer.first() {
            Some(byte) if byte.is_ascii_whitespace() => log.consume(1),
            Some(b'{' | b']') | None => return Ok(Form::Array),
            Some(_) => return Ok(Form::Lines),
        }
    }
}

impl Nesting {
    /// Whether this byte ends the element; else it belongs to it.
    fn ends_at(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b',' | b']' if self.depth == 0 => return true,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        false
    }
}
