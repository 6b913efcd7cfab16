//! A second reading of the contract's rules for the body of a request, written from its words and
//! not from the code: bytes in, API key out. It recurses nowhere, knows no library, and is slow.

/// The object is read, or it is none (400).
#[derive(Debug, PartialEq, Eq)]
pub struct NoObject;

/// The API key of a body; empty where it holds none. What follows the first value is not read.
pub fn api_key(body: &[u8]) -> Result<String, NoObject> {
    let mut reader = Reader { rest: body };
    reader.skip_space();
    match reader.peek() {
        Some(b'{') => reader.object(),
        Some(b'n') => reader.word("null").map(|()| String::new()),
        // Numbers, strings, arrays, true and false are no request, nor is nothing at all.
        _ => Err(NoObject),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    /// Of several members that mean the key the last counts; null leaves what was there.
    fn object(&mut self) -> Result<String, NoObject> {
        let mut key = String::new();
        self.expect(b'{')?;
        self.skip_space();
        if self.accept(b'}') {
            return Ok(key);
        }
        loop {
            let name = self.member_name()?;
            if means_api_key(&name) {
                match self.peek() {
                    Some(b'"') => key = self.string()?,
                    Some(b'n') => self.word("null")?,
                    _ => return Err(NoObject),
                }
            } else {
                self.skip_value()?;
            }
            self.skip_space();
            if self.accept(b'}') {
                return Ok(key);
            }
            self.expect(b',')?;
            self.skip_space();
        }
    }

    /// `"name" :` and the space after it.
    fn member_name(&mut self) -> Result<String, NoObject> {
        let name = self.string()?;
        self.skip_space();
        self.expect(b':')?;
        self.skip_space();
        Ok(name)
    }

    /// Any value, however deep: what is open is a list, not a stack of calls.
    fn skip_value(&mut self) -> Result<(), NoObject> {
        let mut open = Vec::new();
        loop {
            self.skip_space();
            let opened = match self.peek().ok_or(NoObject)? {
                bracket @ (b'{' | b'[') => {
                    self.expect(bracket)?;
                    self.skip_space();
                    Some(bracket)
                }
                b'"' => self.string().map(|_| None)?,
                b't' => self.word("true").map(|()| None)?,
                b'f' => self.word("false").map(|()| None)?,
                b'n' => self.word("null").map(|()| None)?,
                _ => self.number().map(|()| None)?,
            };
            if let Some(bracket) = opened
                && !self.accept(bracket + 2)
            {
                if bracket == b'{' {
                    self.member_name()?;
                }
                open.push(bracket);
                continue;
            }
            // A value is over; so may be what it stands in.
            loop {
                let Some(&bracket) = open.last() else { return Ok(()) };
                self.skip_space();
                // In ASCII a closing bracket comes two after the one that opens.
                if self.accept(bracket + 2) {
                    open.pop();
                    continue;
                }
                self.expect(b',')?;
                self.skip_space();
                if bracket == b'{' {
                    self.member_name()?;
                }
                break;
            }
        }
    }

    /// -? (0 | [1-9][0-9]*) (.[0-9]+)? ([eE][+-]?[0-9]+)?, of any size.
    fn number(&mut self) -> Result<(), NoObject> {
        self.accept(b'-');
        if !self.accept(b'0') {
            self.digits()?;
        }
        if self.accept(b'.') {
            self.digits()?;
        }
        if self.accept(b'e') || self.accept(b'E') {
            let _ = self.accept(b'+') || self.accept(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), NoObject> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.rest = &self.rest[count..];
        if count == 0 { Err(NoObject) } else { Ok(()) }
    }

    fn word(&mut self, word: &str) -> Result<(), NoObject> {
        self.rest = self.rest.strip_prefix(word.as_bytes()).ok_or(NoObject)?;
        Ok(())
    }

    fn string(&mut self) -> Result<String, NoObject> {
        let mut text = String::new();
        self.expect(b'"')?;
        loop {
            match self.peek().ok_or(NoObject)? {
                b'"' => {
                    self.expect(b'"')?;
                    return Ok(text);
                }
                b'\\' => text.push(self.escape()?),
                0..0x20 => return Err(NoObject),
                _ => text.push(self.character()),
            }
        }
    }

    /// One character of UTF-8, or U+FFFD for one byte that is not part of any.
    fn character(&mut self) -> char {
        for length in 1..=4.min(self.rest.len()) {
            if let Ok(text) = std::str::from_utf8(&self.rest[..length]) {
                self.rest = &self.rest[length..];
                return text.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
            }
        }
        self.rest = &self.rest[1..];
        char::REPLACEMENT_CHARACTER
    }

    fn escape(&mut self) -> Result<char, NoObject> {
        self.expect(b'\\')?;
        let letter = self.peek().ok_or(NoObject)?;
        self.expect(letter)?;
        Ok(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.four_hex_digits()?;
                // The second of a pair counts with its first; alone each is U+FFFD.
                if let Some(second) = self.peek_escaped_unit()
                    && let [Ok(pair)] = char::decode_utf16([unit, second]).collect::<Vec<_>>()[..]
                {
                    self.rest = &self.rest[6..];
                    pair
                } else {
                    char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER)
                }
            }
            _ => return Err(NoObject),
        })
    }

    fn peek_escaped_unit(&self) -> Option<u16> {
        let mut ahead = Reader { rest: self.rest.strip_prefix(b"\\u")? };
        ahead.four_hex_digits().ok()
    }

    fn four_hex_digits(&mut self) -> Result<u16, NoObject> {
        let digits = self.rest.get(..4).ok_or(NoObject)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(NoObject);
        }
        let text = std::str::from_utf8(digits).map_err(|_| NoObject)?;
        self.rest = &self.rest[4..];
        u16::from_str_radix(text, 16).map_err(|_| NoObject)
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.rest = &self.rest[1..];
        }
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn accept(&mut self, byte: u8) -> bool {
        let accepted = self.peek() == Some(byte);
        if accepted {
            self.rest = &self.rest[1..];
        }
        accepted
    }

    fn expect(&mut self, byte: u8) -> Result<(), NoObject> {
        if self.accept(byte) { Ok(()) } else { Err(NoObject) }
    }
}

/// Case does not matter, by Unicode's simple folding: of the letters of `api_key`, the Kelvin sign
/// is the only one beyond ASCII.
fn means_api_key(name: &str) -> bool {
    name.replace('\u{212A}', "K").eq_ignore_ascii_case("API_KEY")
}
