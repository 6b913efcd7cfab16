//! What a client can demand of the bytes that come back, whatever it has sent: answers of
//! HTTP/1.1 (RFC 9112), one after the other, each whole, and no status that tells of a fault.

/// What the service and the library under it can answer; 500 and 503 are faults here.
const STATUSES: [u16; 13] = [100, 200, 301, 304, 400, 401, 404, 405, 408, 413, 414, 415, 431];

/// Checks all that one connection received.
pub fn check(received: &[u8], request: &[u8]) -> Result<(), String> {
    // The answer to a HEAD tells the length of a body that does not follow. Which answers are such
    // is not worth a parser of requests: the first head has to do.
    let may_lack_bodies = find(request, b"HEAD ").is_some();
    let mut rest = received;
    while !rest.is_empty() {
        let end = find(rest, b"\r\n\r\n").ok_or("a head without an end")?;
        let head = Head::parse(&rest[..end])?;
        rest = &rest[end + 4..];
        if !STATUSES.contains(&head.status) {
            return Err(format!("the status is {}", head.status));
        }
        if may_lack_bodies {
            return Ok(());
        }
        if matches!(head.status, 100 | 304) {
            continue;
        }
        let length = head.length.ok_or("an answer without a length")?;
        rest = rest.get(length..).ok_or("a body that is cut off")?;
    }
    Ok(())
}

struct Head {
    status: u16,
    length: Option<usize>,
}

impl Head {
    fn parse(head: &[u8]) -> Result<Self, String> {
        let head = std::str::from_utf8(head).map_err(|_| "a head that is no text")?;
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default();
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .or_else(|| line.strip_prefix("HTTP/1.0 "))
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .ok_or_else(|| format!("no status line: {line:?}"))?;
        let mut length = None;
        for line in lines {
            let (name, value) =
                line.split_once(':').ok_or_else(|| format!("no header: {line:?}"))?;
            let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            if name.is_empty() || !name.bytes().all(is_token) || value.contains(['\r', '\n', '\0'])
            {
                return Err(format!("no header: {line:?}"));
            }
            if name.eq_ignore_ascii_case("content-length") {
                let value = value.trim().parse().map_err(|_| format!("no length: {value:?}"))?;
                if length.replace(value).is_some() {
                    return Err("two lengths".to_owned());
                }
            }
        }
        Ok(Self { status, length })
    }
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}
