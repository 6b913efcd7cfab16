//! Asks services over HTTP, as any client does, and reads no more of an answer than a bound allows.

use std::path::Path;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, Response};

use super::Error;

/// Longer than an instance takes to start.
const PATIENCE: Duration = Duration::from_secs(30);
/// Far more than 32 keys of 8192 bits.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// A whole answer.
pub(super) struct Fetched {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// GET, on a connection of its own, wherever it is redirected to.
pub(super) async fn get(url: &str) -> Result<Fetched, Error> {
    let client = Client::builder().timeout(PATIENCE).build().map_err(|e| failed(url, &e))?;
    whole(url, client.get(url).send().await.map_err(|e| failed(url, &e))?).await
}

/// A client that goes where it is sent and nowhere else, and shows answers as they came.
pub(super) fn client() -> Result<Client, Error> {
    // Whether the library undoes codings depends on what else is built with it.
    let plain = Client::builder().no_gzip().no_brotli().no_zstd().no_deflate();
    let builder = plain.timeout(PATIENCE).redirect(Policy::none());
    builder.build().map_err(|error| cause(&error).into())
}

/// Reads an answer to its end.
pub(super) async fn whole(url: &str, mut response: Response) -> Result<Fetched, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| failed(url, &e))? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BYTES {
            return Err(format!("{url} answers with more than a key set can be").into());
        }
    }
    Ok(Fetched { status: response.status().as_u16(), headers: response.headers().clone(), body })
}

pub(super) fn failed(url: &str, error: &reqwest::Error) -> Error {
    format!("cannot ask {url}: {}", cause(error)).into()
}

/// The library tells what it was doing; why that failed is further down.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// What stands in a file, or comes from standard input for `-`, if that is not more than `most`
/// bytes.
pub(super) fn read(path: &Path, most: usize) -> Result<Vec<u8>, Error> {
    use std::io::Read as _;

    let mut bytes = Vec::new();
    // One byte more than fits tells what is too large.
    let limit = most as u64 + 1;
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    let name = path.display();
    read.map_err(|error| format!("cannot read {name}: {error}"))?;
    if bytes.len() > most {
        return Err(format!("{name} has more than {most} bytes").into());
    }
    Ok(bytes)
}
